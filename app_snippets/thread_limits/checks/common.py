"""What both exercises of "Thread limits" are judged with."""

import asyncio
import contextlib
import sys
import urllib.request
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any

from workbench import clock
from workbench.around import Call
from workbench.judge import error_of, failure_in_words, tasks_of_the_cell, threads_in_the_cell
from workbench.server import LiveServer


def warm_up() -> None:
    """Make what urlopen needs. Callers who come first side by side each make their own, certificates included."""
    urllib.request.install_opener(urllib.request.build_opener())


async def in_loop(server: LiveServer, work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine in the server's loop. None where the loop does not come to it."""
    assert server.loop is not None
    future: Future[Any] = asyncio.run_coroutine_threadsafe(work, server.loop)
    with contextlib.suppress(TimeoutError):
        return await asyncio.wait_for(asyncio.wrap_future(future), 1)
    return None


async def all_stand_still(ours: set[int], complete: Callable[[], bool], count: Callable[[], object]) -> None:
    """Wait until all is `complete` and no thread gets any further; a while longer where it does not become so.

    All threads share one core, or at least one GIL: whoever can go on does so while this one sleeps.

    ours: the threads that are not looked at, by their ids. count: what else may not change any more.
    """
    last: object = None
    still, limit = 0, clock.now() + 3
    while still < (8 if complete() else 100) and clock.now() < limit:
        await asyncio.sleep(0.005)
        places = {one: (at.f_code, at.f_lasti) for one, at in sys._current_frames().items() if one not in ours}
        now = places, count()
        still = still + 1 if now == last else 0
        last = now


def at_work(server: LiveServer, call: Call) -> bool:
    """Whether something of the cell goes on: a thread, a task of its own, or the request of a call after its answer."""
    return bool(threads_in_the_cell() or tasks_of_the_cell(server) or (call.request and call.request.done is None))


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
