"""What both exercises of "Thread limits" are judged with."""

import asyncio
import contextlib
import sys
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from types import FrameType
from typing import Any

from workbench.answer import FILE
from workbench.load import Call
from workbench.server import LiveServer
from workbench.words import error_of, failure_in_words


async def in_loop(server: LiveServer, work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine in the server's loop. None where the loop does not come to it."""
    assert server.loop is not None
    future: Future[Any] = asyncio.run_coroutine_threadsafe(work, server.loop)
    with contextlib.suppress(TimeoutError):
        return await asyncio.wait_for(asyncio.wrap_future(future), 0.3)
    return None


def frames_in_the_cell() -> dict[threading.Thread, list[FrameType]]:
    """The threads that are in the cell's code now, apart from servers' loops, each with its frames there."""
    found: dict[threading.Thread, list[FrameType]] = {}
    frames = sys._current_frames()
    for thread in threading.enumerate():
        frame = frames.get(thread.ident or 0)
        while frame is not None:
            if frame.f_code.co_filename == FILE:
                found.setdefault(thread, []).append(frame)
            frame = frame.f_back
    return {thread: mine for thread, mine in found.items() if not thread.name.startswith("server ")}


def failure(call: Call) -> dict[str, str]:
    """What a call that was not answered with 200 saw, and why; the failures that threads bring about in words."""
    words = failure_in_words(call)
    if "coroutine object" in str(error_of(call)):
        return {
            "seen": f"status {call.status}: a coroutine as the result",
            "diagnosis": "The call into a thread is made and not awaited, so what comes back is a coroutine.",
        }
    if "already holding one of this" in words["seen"]:
        words["diagnosis"] = (
            "The call borrows from the same limiter twice, by `async with` and by `limiter=`. One of the two is enough."
        )
    elif call.status in (429, 503):
        words["diagnosis"] = (
            "Who finds the pool full is turned away. That is a pattern of its own; here, everybody waits and is served."
        )
    return words
