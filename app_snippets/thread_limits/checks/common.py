"""What both exercises of "Thread limits" are judged with."""

import asyncio
import contextlib
import sys
import time
import urllib.request
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any

from workbench import clock
from workbench.around import Call
from workbench.judge import Answer, Probe, error_of, failure_in_words
from workbench.server import LiveServer

URLLIB = "Python-urllib/"  # what the SDKs of both exercises say that they are
RESTING = 0.1  # of the time: a loop that only waits is at work for some hundredths of it
# Bound here, because an answer may change the time module.
thread_time, process_time = time.thread_time, time.process_time


def warm_up() -> None:
    """Make what urlopen needs. Callers who come first side by side each make their own, certificates included."""
    urllib.request.install_opener(urllib.request.build_opener())


async def in_loop(server: LiveServer, work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine in the server's loop. None where the loop does not come to it."""
    assert server.loop is not None
    future: Future[Any] = asyncio.run_coroutine_threadsafe(work, server.loop)
    with contextlib.suppress(TimeoutError):
        return await asyncio.wait_for(asyncio.wrap_future(future), 0.5)
    return None


async def share_of_the_loop(server: LiveServer, seconds: float) -> float:
    """The share of so many seconds in which the loop's thread is at work, where most of the work is its own, else 0.

    A core that is shared with other processes makes a share of the time smaller, and none of the work.
    """

    async def used() -> float:
        return thread_time()

    before, begun, all_before = await in_loop(server, used()), clock.now(), process_time()
    await asyncio.sleep(seconds)
    after, took, work = await in_loop(server, used()), clock.now() - begun, process_time() - all_before
    if before is None or after is None or after - before < work / 2:
        return 0.0
    share: float = (after - before) / took
    return share


def require_rest(tried: str, share: float) -> None:
    """The loop rests while there is nothing to do. Raises NotYet."""
    if share > RESTING:
        raise Probe(tried, "a loop that rests while there is nothing to do").saw(
            f"at work for {100 * share:.0f} % of the time",
            "The loop goes round and round without a rest, and a core with it: somebody asks again and again whether "
            "it is time. `sleep(0)` comes back at once. Await what ends the wait.",
        )


def endpoint(answer: Answer, path: str) -> object:
    """The function that answers at a path of the app."""
    return next((one.endpoint for one in answer["app"].routes if getattr(one, "path", "") == path), None)


def require_sdk(tried: str, function: str, clients: set[str]) -> None:
    """Every call to the service came from the SDK. Raises NotYet."""
    for client in clients:
        if not client.startswith(URLLIB):
            raise Probe(tried, f"calls that `{function}` makes").saw(
                f"calls of another client, `{client[:40]}`",
                f"`{function}` stands for an SDK that you cannot rewrite, and here something else makes its calls. "
                "Call it as it is, in a thread.",
            )


async def all_stand_still(ours: set[int], complete: Callable[[], bool], count: Callable[[], object]) -> None:
    """Wait until all is `complete` and no thread gets any further; a while longer where it does not become so.

    A second without a change of `count` is enough, too: a loop that spins never stands still.

    All threads share one core, or at least one GIL: whoever can go on does so while this one sleeps.

    ours: the threads that are not looked at, by their ids. count: what else may not change any more.
    """
    last: object = None
    counted, still, limit = count(), 0, clock.now() + 1
    while still < (8 if complete() else 100) and clock.now() < limit:
        await asyncio.sleep(0.005)
        places = {one: (at.f_code, at.f_lasti) for one, at in sys._current_frames().items() if one not in ours}
        now = places, count()
        still = still + 1 if now == last else 0
        if now[1] != counted:
            counted, limit = now[1], clock.now() + 1
        last = now


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
    return words
