"""How the exercise "A pool that lasts" is judged."""

import contextlib
import functools
import inspect
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any
from unittest.mock import patch

from app_snippets.cpu_work.checks.common import (
    Started,
    names_used,
    numbers_that_take,
    primes_between,
    watching_processes,
)
from workbench.around import Call, burst
from workbench.clock import until
from workbench.judge import (
    MODULE,
    Answer,
    NotYet,
    Probe,
    Trial,
    exercise,
    failure_in_words,
    ms,
    require_pings,
    trial,
)
from workbench.server import LiveServer

CALLS = 4  # at once
COMPUTES = 0.25  # seconds that each of them computes, with as many numbers as that takes here and now
TIME_TO_END = 3.0  # seconds that workers get when the server has stopped; those that nobody ends stay for ever


@exercise(
    "A pool that lasts",
    asks_for="app",
    hints=[
        "Each answer says which process counted. Is it the server's own, and is it the same for two calls?",
        "A `with ProcessPoolExecutor(...) as pool:` around the lifespan's `yield` opens one pool and closes it. "
        "`multiprocessing.get_context` names a start method.",
        'Yield {"pool": pool}, then `await asyncio.get_running_loop().run_in_executor(request.state.pool, work)`, '
        "where `work` is functools.partial(count_primes, limit, start=start).",
    ],
    deadline=15,
)
async def pool(answer: Answer) -> str:
    """Right answers from worker processes that are used again, a short ping, and nobody left after the stop."""
    with watching_processes() as started, _noting_what_is_sent() as sent:
        try:
            async with answer.served() as server:
                workers = await _one_after_another(answer, server, started)
                before = len(started)
                seen = await _all_at_once(answer, server, started, workers)
                if len(workers) == 4 + CALLS and len(started) > before:
                    raise _never_again(f"each of {4 + CALLS} calls was answered by another process")
        except NotYet as error:
            raise _unpicklable(error, sent) from None
        await _require_none_left(started, workers)
    again = len(workers) == 1
    return (
        f"{'One worker' if again else f'{len(workers)} workers'} answered all calls, the longest ping took "
        f"{ms(seen.beat.longest)}, and no process is left."
    )


async def _one_after_another(answer: Answer, server: LiveServer, started: Started) -> set[int]:
    tried = "4 calls, one after another"
    workers: set[int] = set()
    growth = []
    for number in range(4):
        start, limit = 10 * number, 100 + number
        before = len(started)
        result = await burst(server, f"/primes?start={start}&limit={limit}", 1, timeout=8)
        growth.append(len(started) - before)
        workers |= {_worker_of(answer, started, workers, result.calls[0], primes_between(start, limit), tried)}
        forked = [one for one in started.processes if type(one).__name__ == "ForkProcess"]
        if forked:
            raise Probe(tried, "workers that were spawned, or come from a fork server").saw(
                "workers that were forked from the server",
                "The pool forks, as Python before 3.14 does on Linux unless told otherwise: each worker begins as a "
                "copy of the server, its sockets and held locks included, and a lock that a thread held in that moment "
                "is never released in the copy. Give the pool `mp_context=multiprocessing.get_context('spawn')`.",
            )
    if all(growth):
        raise _never_again(f"{sum(growth)} processes were started for 4 calls")
    return workers


def _never_again(seen: str) -> NotYet:
    return Probe("calls one after another, and at once", "workers that are used again").saw(
        seen,
        "No worker answers twice: each request starts a process or a pool of its own, or a worker ends after its "
        "first call. Starting one takes longer than most computing does, and many requests at once start many. Open "
        "one pool in the lifespan, let all requests use it, and let its workers live.",
    )


async def _all_at_once(answer: Answer, server: LiveServer, started: Started, workers: set[int]) -> Trial:
    tried = f"{CALLS} calls at once, with a heartbeat on /ping"
    size = numbers_that_take(COMPUTES, 0)
    limits = [size - 10 * number for number in range(CALLS)]
    seen = await trial(answer, server, [f"/primes?start=5&limit={limit}" for limit in limits], CALLS)
    require_pings(seen.beat, tried)
    for call, limit in zip(seen.burst.calls, limits, strict=True):
        workers |= {_worker_of(answer, started, workers, call, primes_between(5, limit), tried)}
    held = sum(one.seconds for one in seen.held)
    if held > seen.burst.wall / 2:  # a right answer holds it for what it takes to start a worker, at most
        where = max(seen.held, key=lambda one: one.seconds)
        raise Probe(tried, "a loop that is free while the workers compute").saw(
            f"held for {ms(held)} of {ms(seen.burst.wall)}, and one ping waited {ms(seen.beat.longest)}",
            f"A worker computes, but the loop waits for it: {where} stops the thread until the result is there. Await "
            "it instead: run_in_executor gives back what can be awaited."
            if where.calling in ("result", "wait", "as_completed", "map", "get", "join")
            else f"A worker computes, and yet the loop is held at {where}.",
        )
    return seen


def _worker_of(answer: Answer, started: Started, known: set[int], call: Call, primes: int, tried: str) -> int:
    """The process that answered the call. Raises NotYet where the call failed or it is no worker.

    known: the processes that have answered before.
    """
    if call.status != 200:
        raise Probe(tried, "status 200").saw(**_failure(call, answered=bool(known)))
    try:
        body = call.json()
        counted, process = body["primes"], body["process"]
    except (ValueError, KeyError, TypeError):
        counted = process = None
    if counted != primes or not isinstance(process, int):
        raise Probe(f"`{call.path}`", f"{primes} primes, and the process that counted them").saw(
            f"`{call.text[:80]}`",
            "The answer is no longer what count_primes returns for this `start` and `limit`. Both must reach the "
            "worker, and its answer the caller.",
        )
    if process == os.getpid():
        raise Probe(tried, "an answer from a worker process").saw(
            "the server's own process counted", _in_this_process(answer)
        )
    if process not in started.ids():
        raise Probe(tried, "the process that counted, as count_primes names it").saw(
            f"process {process}, which your app has not started",
            "The answer names a process that is none of your workers. Send `count_primes` itself to a worker, and "
            "hand on what it returns, as it is.",
        )
    return process


def _in_this_process(answer: Answer) -> str:
    endpoint = answer["primes"]
    names = names_used(endpoint)
    if not inspect.iscoroutinefunction(endpoint):
        return (
            "A plain `def` moves the computing to a thread of the server. That thread shares the GIL with the loop: "
            "every ping queues behind it, and nothing is computed sooner. Only another process has a GIL of its own."
        )
    if {"to_thread", "run_sync", "run_in_threadpool"} & names:
        return (
            "The computing left the loop, but not the process: a thread that runs Python code shares the GIL with the "
            "loop, and the more of them compute, the longer each ping waits. It takes a process."
        )
    if {"run_in_executor", "submit"} & names:
        return (
            "An executor is used, but its workers are threads of the server: `None` stands for the default thread "
            "pool, and ThreadPoolExecutor is one. Its twin with processes is ProcessPoolExecutor."
        )
    return (
        "The computing still runs on the loop: `count_primes` is called in the handler itself, and nothing there hands "
        "it to a worker."
    )


def _failure(call: Call, *, answered: bool) -> dict[str, str]:
    """Why a call failed, in words of the usual mistakes with a pool. answered: whether a call before it was."""
    error = call.request.error if call.request else None
    said = str(error)
    words = failure_in_words(call)
    if "can't be used in 'await' expression" in said:
        words["diagnosis"] = (
            "`submit` gives back a concurrent.futures.Future, made for threads that wait. It cannot be awaited: "
            "`loop.run_in_executor(pool, ...)` gives the kind that can, and asyncio.wrap_future() makes one of it."
        )
    elif "coroutines cannot be used" in said:
        words["diagnosis"] = (
            "A worker was given an `async def`. Calling one only makes a coroutine, which cannot be sent and computes "
            "nothing. What computes is a plain function: count_primes."
        )
    elif type(error).__name__ == "ResponseValidationError" and any(
        one in said for one in ("<Future", "<Task", "<coro")
    ):
        words["seen"] = "status 500: the handler returned something that is still to be awaited"
        words["diagnosis"] = (
            "The handler returns before the worker has answered: what it returns is a future, not a count. Await it. "
            "`loop.run_in_executor(pool, ...)` gives one that can be awaited."
        )
    elif "after shutdown" in said and answered:
        words["diagnosis"] = (
            "The pool was open, and the request before has closed it: a `with` around the pool, or shutdown(), in the "
            "handler. Whoever opens it closes it: the lifespan, behind its `yield`."
        )
    elif "after shutdown" in said:
        words["diagnosis"] = (
            "The pool was closed before the first request came: its `with` ended, or shutdown() was called, above the "
            "`yield`. The `yield` belongs inside the `with`."
        )
    elif "no attribute 'pool'" in said or "object has no attribute" in said:
        words["diagnosis"] = (
            f"{type(error).__name__}: {said}. What the lifespan yields, as a dict, is what `request.state` has: yield "
            'the pool under a name, {"pool": pool}.'
        )
    elif "object is not callable" in said:
        words["diagnosis"] = (
            "The function was called first, on the loop, and the pool was handed its result as if it were a function. "
            "Pass the function and its arguments apart, or as a functools.partial."
        )
    elif "run_in_executor() got an unexpected keyword" in said or "positional argument" in said:
        words["diagnosis"] = (
            f"{type(error).__name__}: {said}. run_in_executor hands on positional arguments only, and `start` must be "
            "given by name. functools.partial(count_primes, limit, start=start) is a call, packed to be sent."
        )
    return words


@contextlib.contextmanager
def _noting_what_is_sent() -> Iterator[list[Callable[..., Any]]]:
    """The functions that are given to process pools, in order; of a partial, the function in it."""
    sent: list[Callable[..., Any]] = []
    submit = ProcessPoolExecutor.submit

    def noting(self: ProcessPoolExecutor, function: Callable[..., Any], /, *args: Any, **options: Any) -> Any:
        sent.append(function.func if isinstance(function, functools.partial) else function)
        return submit(self, function, *args, **options)

    with patch.object(ProcessPoolExecutor, "submit", noting):
        yield sent


def _can_be_sent(function: Any) -> bool:
    """Whether it can be pickled. What Python says of one that cannot is another sentence in each version."""
    try:
        pickle.dumps(function)
    except Exception:
        return False
    return True


def _unpicklable(error: NotYet, sent: list[Callable[..., Any]]) -> NotYet:
    """The same verdict, with the diagnosis for what cannot be sent, where that is what happened."""
    verdict = error.verdict
    said = f"{verdict.seen} {verdict.diagnosis}"
    function = sent[-1] if sent else None
    if "BrokenProcessPool" not in said and "pickle" not in said.lower() and _can_be_sent(function):
        return error
    name = getattr(function, "__qualname__", "")
    if inspect.iscoroutinefunction(function):
        why = (
            "A worker was given an `async def`. Calling one only makes a coroutine, which cannot be sent and computes "
            "nothing. What computes is a plain function: count_primes."
        )
    elif "<lambda>" in name or "<locals>" in name:
        why = (
            "What is sent to a worker is pickled, and a function is pickled as its name. A lambda, or a function "
            "inside a function, has no name that a worker could import. A functools.partial can be sent."
        )
    elif getattr(function, "__module__", "") == MODULE:
        why = (
            "The worker ended before it could answer. It gets a function by name, and imports the module of that name; "
            "your cell is in no module that it could import, so a function of the cell is not found there. Send "
            "`count_primes` itself, which lives in a file."
        )
    else:
        why = (
            "What is sent to a worker is pickled, and something here cannot be: a request, a pool, a lock or a "
            "connection stays in its process. Send count_primes and plain numbers."
        )
    return error.because(why)


async def _require_none_left(started: Started, workers: set[int]) -> None:
    left: list[int] = []

    def none_left() -> bool:
        left[:] = [*started.alive(), *_alive_elsewhere(started, workers)]
        return not left

    if not await until(none_left, TIME_TO_END):
        raise Probe("to stop the server", "no process left").saw(
            f"{len(left)} still running {TIME_TO_END:g} s later",
            "The pool is open still: nobody closed it when the server stopped, and its workers go on without work. "
            "Close it after the `yield`, or let a `with` around the `yield` do it.",
        )


def _alive_elsewhere(started: Started, workers: set[int]) -> list[int]:
    """Workers that were started by other means than multiprocessing, where the platform can tell."""
    left = []
    if sys.platform != "win32":
        for pid in workers - {process.pid for process in started.processes}:
            with contextlib.suppress(OSError):
                if os.waitpid(pid, os.WNOHANG) == (0, 0):
                    left.append(pid)
    return left
