"""`claim`: a sentence of the lesson that the notebook proves as it runs."""

import ast
import inspect
from types import FrameType

from executing import Source


class ClaimFailed(AssertionError):
    """A sentence that did not hold. The message shows both sides of the comparison."""

    def _render_traceback_(self) -> list[str]:
        return str(self).splitlines()


def claim(text: str, condition: object) -> None:
    """Print `text` with ✔ when `condition` holds, else raise ClaimFailed showing what was compared.

    The sides are read from the call itself: write the comparison in the call, `claim("…", a < b)`.
    """
    if condition:
        print(f"✔ {text}")
        return
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    raise ClaimFailed("\n".join([f"✘ {text}", *_sides(frame.f_back)]))


def _sides(frame: FrameType) -> list[str]:
    """The source of the failed condition, and the value of each side of each comparison in it."""
    call = Source.executing(frame).node
    if not isinstance(call, ast.Call) or len(call.args) < 2:
        return []
    condition = call.args[1]
    lines = [f"  claimed   {ast.unparse(condition)}"]
    sides: dict[str, ast.expr] = {}
    for node in ast.walk(condition):
        if isinstance(node, ast.Compare):
            sides |= {ast.unparse(side): side for side in [node.left, *node.comparators]}
    for source, side in sides.items():
        if isinstance(side, ast.Constant) or any(isinstance(part, ast.Await) for part in ast.walk(side)):
            continue
        try:
            value = eval(compile(ast.Expression(side), "<claim>", "eval"), frame.f_globals, frame.f_locals)
        except Exception as error:
            value = f"cannot be shown again ({type(error).__name__})"
        lines.append(f"  {source} is {value!r}")
    return lines
