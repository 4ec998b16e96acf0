"""What the exercises of "Background work" are judged with."""

import ast
import contextlib
import logging
import sys
from collections.abc import Iterator

from workbench.load import Call, burst
from workbench.server import LiveServer


async def posted(server: LiveServer, path: str, *, timeout: float = 5.0) -> Call:
    """One POST, with the server's view of it. A call that fails has `status` None and says why in `error`."""
    return (await burst(server, path, 1, method="POST", timeout=timeout)).calls[0]


@contextlib.contextmanager
def all_logged(server: LiveServer) -> Iterator[None]:
    """Have every log line in the server's logs, also where the answer configures logging by itself."""
    handler = _Into(server)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)


class _Into(logging.Handler):
    def __init__(self, server: LiveServer) -> None:
        super().__init__()
        self._logs = server.logs
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self._logs.append(self.format(record))


def printed() -> str:
    """What the answer has printed so far, warnings included."""
    get = getattr(sys.stdout, "getvalue", None)
    return str(get()) if get else ""


def errors_in(server: LiveServer) -> str:
    """All log lines of level WARNING and above, with their tracebacks."""
    return "\n".join(line for line in list(server.logs) if line.startswith(("WARNING", "ERROR", "CRITICAL")))


def nodes(source: str) -> list[ast.AST]:
    """All nodes of the cell: only to choose the words of a diagnosis."""
    return list(ast.walk(ast.parse(source)))


def calls(tree: list[ast.AST] | ast.AST, name: str) -> list[ast.Call]:
    """The calls of a function or method of that name."""
    found = tree if isinstance(tree, list) else list(ast.walk(tree))
    return [one for one in found if isinstance(one, ast.Call) and ast.unparse(one.func).split(".")[-1] == name]
