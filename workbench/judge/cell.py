"""Where the learner's cell is at work: in which threads, at which line of the server's loop, in which tasks."""

import asyncio
import contextlib
import gc
import inspect
import linecache
import multiprocessing
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from types import AsyncGeneratorType, FrameType, GeneratorType, TracebackType
from typing import Any, TypeVar
from unittest.mock import patch

from workbench.server.live import LiveServer, running

FILE = "your cell"  # the answer's file name in tracebacks
LOOK = 0.004  # seconds between two looks
SHOWN = 100  # characters of a line of source

loops_of_calls: "set[asyncio.AbstractEventLoop]" = set()  # those in which the answer's own functions run

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


@contextlib.contextmanager
def at_each_turn(loop: Any, before: Callable[[bool], None], after: Callable[[], None] = lambda: None) -> Iterator[None]:
    """For the length of the block, call `before` when a loop has done all that is to be done, and `after` then.

    before: with True where it may sleep until something happens, False where more is to be done at once.
    """
    select = loop._selector.select  # there is no other way to see a loop's turns

    def noting(timeout: float | None = None) -> Any:
        before(timeout is None or timeout > 0)
        found = select(timeout)
        after()
        return found

    with patch.object(loop._selector, "select", noting):
        yield


def held_at(lines: list[str]) -> str:
    """The line at which the loop was in more than half of the looks, "" for none."""
    held = [line for line in lines if line]
    return max(held, key=held.count) if len(held) > max(8, len(lines) / 2) else ""


def where_it_is() -> str:
    """Where the answer's code is now, in words: the line that a thread runs, or at which a task waits."""
    for ident in sys._current_frames():
        for frame in frames_of_the_cell(ident)[:1]:
            who = "the cell itself" if frame.f_code.co_name == "<module>" else "it"
            return f"{who} is still running {place_in_words(frame.f_lineno)}"
    if places := list(filter(None, map(where_it_waits, _tasks()))):
        return f"it is still waiting at {places[0]}"
    if lines := sorted({frame.f_lineno for frame in _generators()}):
        return f"what it yields comes from {' and '.join(map(place_in_words, lines[:3]))}"
    if any(not child.daemon for child in multiprocessing.active_children()):
        return "it waits for a process that it started, which is still at work"
    return "it is busy in what it called or started"


def _tasks() -> "list[asyncio.Task[Any]]":
    """The tasks of all loops in which the cell may wait: those that the bench waits for before those of the cell."""
    loops = [*loops_of_calls, *(server.loop for server in running() if server.loop)]
    tasks = [task for loop in loops for task in asyncio.all_tasks(loop)]
    return sorted(tasks, key=lambda task: getattr(code_of(task), "co_filename", "") == FILE)


def where_it_waits(task: "asyncio.Task[Any]") -> str:
    """The line of the cell at which a task waits, in words, "" where it waits in none."""
    lines = [frame.f_lineno for frame in frames_of(task.get_coro()) if frame.f_code.co_filename == FILE]
    return place_in_words(lines[-1]) if lines else ""


def _generators() -> list[FrameType]:
    """The frames of the cell's generators that have begun and not ended."""
    kinds = {GeneratorType: "gi", AsyncGeneratorType: "ag"}
    made = [(one, kinds[type(one)]) for one in gc.get_objects() if type(one) in kinds]
    frames = [getattr(one, f"{kind}_frame") for one, kind in made if getattr(one, f"{kind}_code").co_filename == FILE]
    return [frame for frame in frames if frame is not None and frame.f_lasti > 0]


def frames_of(coroutine: Any) -> list[FrameType]:
    """The frames in which a coroutine waits, the outermost first."""
    found = []
    while coroutine is not None:
        for kind in ("cr", "ag", "gi"):
            frame = getattr(coroutine, f"{kind}_frame", None)
            if frame is not None:
                found.append(frame)
                coroutine = getattr(coroutine, f"{kind}_await" if kind != "gi" else "gi_yieldfrom")
                break
        else:  # a step of an asynchronous generator does not say of which one, but it refers to it
            coroutine = next((one for one in gc.get_referents(coroutine) if inspect.isasyncgen(one)), None)
    return found


def innermost(trace: TracebackType | None) -> int | None:
    """The line of the cell in which a traceback ends."""
    lines = [line for frame, line in traceback.walk_tb(trace) if frame.f_code.co_filename == FILE]
    return lines[-1] if lines else None


def outermost(trace: TracebackType | None) -> str:
    """The name of the function of the cell in which a traceback begins, "" where it is in none."""
    return next((one.f_code.co_name for one, _ in traceback.walk_tb(trace) if one.f_code.co_filename == FILE), "")


def place_in_words(line: int | None) -> str:
    """A line of the cell, with its source."""
    if not line:
        return ""
    source = linecache.getline(FILE, line).strip()
    return f"line {line}, `{source if len(source) <= SHOWN else f'{source[:SHOWN]} …'}`"
