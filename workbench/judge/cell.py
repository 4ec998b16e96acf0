"""Where the learner's cell is at work: in which threads, at which line of the server's loop, in which tasks."""

import asyncio
import contextlib
import linecache
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any, TypeVar

from workbench.server.live import LiveServer, running

FILE = "your cell"  # the answer's file name in tracebacks
LOOK = 0.004  # seconds between two looks

T = TypeVar("T")


def frames_of_the_cell(ident: int | None) -> list[FrameType]:
    """The frames of a thread that are in the cell's code now, the innermost first."""
    frame = sys._current_frames().get(ident or 0)
    found = []
    while frame is not None:
        if frame.f_code.co_filename == FILE:
            found.append(frame)
        frame = frame.f_back
    return found


def threads_in_the_cell() -> dict[threading.Thread, list[FrameType]]:
    """The threads that are in the cell's code now, each with its frames there, apart from servers' loops."""
    threads = [one for one in threading.enumerate() if not one.name.startswith("server ")]
    return {one: frames for one in threads if (frames := frames_of_the_cell(one.ident))}


def tasks_of_the_cell(server: LiveServer) -> "list[asyncio.Task[Any]]":
    """The tasks of a server's loop that run a coroutine of the cell, and are no request's."""
    tasks = asyncio.all_tasks(server.loop) if server.loop else set()
    return [task for task in tasks if getattr(code_of(task), "co_filename", "") == FILE]


def code_of(task: "asyncio.Task[Any]") -> Any:
    """The code of the coroutine that a task runs, None for one that is not made by an `async def`."""
    return getattr(task.get_coro(), "cr_code", None)


def line_of_the_loop(server: LiveServer) -> str:
    """The line of the cell at which the server's loop is right now, in words, "" where it is at none."""
    frames = frames_of_the_cell(server.thread.ident)
    return place_in_words(frames[0].f_lineno) if frames else ""


@contextlib.contextmanager
def looking(look: Callable[[], T], every: float = LOOK) -> Iterator[list[T]]:
    """Look again and again, from a thread, for the length of the block: what was seen each time."""
    seen: list[T] = []
    ended = threading.Event()

    def keep_looking() -> None:
        while not ended.wait(every):
            seen.append(look())

    thread = threading.Thread(target=keep_looking, name="look", daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def held_at(lines: list[str]) -> str:
    """The line at which the loop was in more than half of the looks, "" for none."""
    held = [line for line in lines if line]
    return max(held, key=held.count) if len(held) > max(8, len(lines) / 2) else ""


def where_it_is() -> str:
    """Where the answer's code is now, in words: the line that a thread runs, or at which a task waits."""
    for ident in sys._current_frames():
        for frame in frames_of_the_cell(ident)[:1]:
            if frame.f_code.co_name != "<module>":
                return f"it is still running {place_in_words(frame.f_lineno)}"
            return f"the cell itself is still running {place_in_words(frame.f_lineno)}"
    for server in running():
        for task in asyncio.all_tasks(server.loop) if server.loop else ():
            for waiting in reversed(task.get_stack()):
                if waiting.f_code.co_filename == FILE:
                    return f"it is still waiting at {place_in_words(waiting.f_lineno)}"
    return "it is busy in what it called or started"


def innermost(trace: TracebackType | None) -> int | None:
    """The line of the cell in which a traceback ends."""
    lines = [line for frame, line in traceback.walk_tb(trace) if frame.f_code.co_filename == FILE]
    return lines[-1] if lines else None


def place_in_words(line: int | None) -> str:
    """A line of the cell, with its source."""
    return f"line {line}, `{linecache.getline(FILE, line).strip()}`" if line else ""
