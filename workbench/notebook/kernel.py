"""What the bench does to the kernel that it is imported in, and `finish`, which proves that nothing is left."""

import asyncio
import contextlib
import gc
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from workbench import course
from workbench.server import live as server

TICK = 0.2  # seconds after which an interrupt reaches a cell that awaits
PATIENCE = 2.0  # seconds that threads and tasks get to end by themselves in `finish`


class LeftBehind(AssertionError):
    """Something of the lesson is still there at its end. The message lists what."""

    def _render_traceback_(self) -> list[str]:
        return str(self).splitlines()


class _Kernel:
    """What is known of this kernel since the bench was imported in it."""

    def __init__(self) -> None:
        self.cells: dict[str, str] = {}  # exercise name -> source of its cell as last run
        self.attempted = False  # some exercise cell differs from its starter
        self.judge_warm = False
        self.lost: list[str] = []
        self.loop: asyncio.AbstractEventLoop | None = None
        self.threads: set[threading.Thread] = set()
        self.tasks: set[asyncio.Task[Any]] = set()
        self.sockets: set[int] = set()
        self.ticker: asyncio.Task[None] | None = None


_kernel = _Kernel()


def attach() -> None:
    """Prepare the kernel, when there is one: interrupts, exercise cells, and the state `finish` compares with."""
    if "IPython" not in sys.modules:
        return
    from IPython import get_ipython

    shell = get_ipython()
    if shell is None or _kernel.ticker is not None:
        return
    with contextlib.suppress(RuntimeError):
        _kernel.loop = asyncio.get_running_loop()
    if _kernel.loop is None:
        return
    _kernel.threads = set(threading.enumerate())
    _kernel.tasks = asyncio.all_tasks(_kernel.loop)
    _kernel.sockets = {id(one) for one in _open_sockets()}
    _kernel.ticker = _kernel.loop.create_task(_tick(), name="interrupt ticker")
    shell.events.register("pre_run_cell", _note_cell)
    shell.events.register("post_run_cell", _prepare_judge)
    _kernel.loop.set_exception_handler(_noting_lost(_kernel.loop.get_exception_handler()))
    _note_unawaited()


async def _tick() -> None:
    """Wake the kernel's loop now and then.

    A signal does not wake an idle selector when another thread receives it, so without this JupyterLab's
    Interrupt would not stop a cell that awaits.
    """
    while True:
        await asyncio.sleep(TICK)


def _note_cell(info: Any) -> None:
    """Remember the source of an exercise cell: known by its first line, or in JupyterLab by its id."""
    source: str = info.raw_cell
    first = source.lstrip().partition("\n")[0].strip()
    name = None
    if first.startswith(course.MARKER):
        name = first.removeprefix(course.MARKER).strip()
    elif str(info.cell_id or "").startswith("answer-"):
        name = info.cell_id.removeprefix("answer-").replace("--", "/")
    if name:
        _kernel.cells[name] = source
        _kernel.attempted = _kernel.attempted or source.strip() != _starter(name)


def _starter(name: str) -> str:
    try:
        return course.starter_cell(name).strip()
    except (OSError, course.CourseError):
        return ""


def _prepare_judge(_: Any) -> None:
    """Warm the judge up once an exercise has been changed, while the learner reaches for the check."""
    if _kernel.attempted and not _kernel.judge_warm:
        from workbench.judge import verdicts

        _kernel.judge_warm = True
        verdicts.warm_up()


def cell_of(name: str) -> str | None:
    """The source of the exercise cell of that name as it was last run in this kernel."""
    return _kernel.cells.get(name)


# what finish looks for


async def finish() -> None:
    """End the lesson: stop what is left, and prove that nothing else is.

    Raises LeftBehind for a thread, task or socket that is still there, for a task's exception that nobody
    saw, and for a coroutine that was never awaited.
    """
    for left in server.running():
        await asyncio.to_thread(left.stop)
    found: list[str] = []
    deadline = time.perf_counter() + PATIENCE
    while (found := [*_leaked_tasks(), *_leaked_threads(), *_leaked_sockets()]) and time.perf_counter() < deadline:
        await asyncio.sleep(0.05)
    gc.collect()  # a lost exception is told of when its task is collected
    await asyncio.sleep(0)
    found += _kernel.lost
    _kernel.lost = []
    if found:
        raise LeftBehind("\n".join(["Left behind at the end of the lesson:", *(f"  - {one}" for one in found)]))
    print("✔ nothing is left running")


def _leaked_threads() -> Iterator[str]:
    executor = getattr(_kernel.loop, "_default_executor", None)
    pool = set(getattr(executor, "_threads", ()))
    for thread in set(threading.enumerate()) - _kernel.threads - pool:
        if thread.name.startswith("AnyIO worker") and getattr(thread, "loop", None) is _kernel.loop:
            continue  # idle, kept by AnyIO for the notebook's own loop
        if not _of_the_front_end(thread):
            yield f"the thread {thread.name!r} still runs"


def _of_the_front_end(thread: threading.Thread) -> bool:
    return type(thread).__module__.partition(".")[0] in ("ipykernel", "zmq", "IPython", "debugpy")


def _leaked_tasks() -> Iterator[str]:
    if _kernel.loop is None:
        return
    known = {_kernel.ticker, asyncio.current_task(_kernel.loop)} | _kernel.tasks
    for task in asyncio.all_tasks(_kernel.loop) - known:
        code = getattr(task.get_coro(), "cr_code", None)
        if code is not None and any(part in code.co_filename for part in ("ipykernel", "tornado", "zmq")):
            continue
        yield f"the task {task.get_name()!r} ({getattr(task.get_coro(), '__qualname__', '?')}) still runs"


def _open_sockets() -> list[socket.socket]:
    # of weak proxies, whose object may be gone, isinstance would ask that object
    return [one for one in gc.get_objects() if issubclass(type(one), socket.socket) and one.fileno() != -1]


def _leaked_sockets() -> Iterator[str]:
    for one in _open_sockets():
        if id(one) in _kernel.sockets or one.family not in (socket.AF_INET, socket.AF_INET6):
            continue
        with contextlib.suppress(OSError):
            yield f"a socket is open at {one.getsockname()[:2]}: a client or connection was not closed"


def _noting_lost(
    before: Callable[..., Any] | None,
) -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None]:
    def handler(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if "never retrieved" in context["message"] and error is not None:
            _kernel.lost.append(f"a task's exception was seen by nobody: {type(error).__name__}: {error}")
        if before is not None:
            before(loop, context)
        else:
            loop.default_exception_handler(context)

    return handler


def _note_unawaited() -> None:
    """Count the coroutines that were created and never awaited, wherever the warning for them goes."""
    warnings.filterwarnings("always", message=r"coroutine .* was never awaited", category=RuntimeWarning)
    shown = warnings.showwarning

    def showwarning(message: Warning | str, *args: Any, **kwargs: Any) -> None:
        if "was never awaited" in str(message):
            _kernel.lost.append(f"a {message}")
        shown(message, *args, **kwargs)

    warnings.showwarning = showwarning
