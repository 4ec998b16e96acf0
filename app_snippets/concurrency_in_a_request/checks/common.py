"""What the exercises of "Concurrency in a request" are judged with."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from workbench.answer import failure_in_words
from workbench.judging import NotYet
from workbench.load import Call, burst
from workbench.server import LiveServer
from workbench.upstream import Reply, Upstream

ATTEMPTS = 3


class Noisy(NotYet):
    """A bound that a busy machine may have missed: tried again."""


async def calmly(trial: Callable[[], Awaitable[Call]]) -> Call:
    """Run a trial; where only noise can have spoiled it, run it again, twice at most."""
    for _ in range(ATTEMPTS - 1):
        with contextlib.suppress(Noisy):
            return await trial()
    return await trial()


async def called(server: LiveServer, services: Upstream, path: str, replies: dict[str, Reply]) -> Call:
    """One call while the services answer with `replies`, on a log of its own."""
    services.replies.update(replies)
    services.forget()
    return (await burst(server, path, 1, timeout=2)).calls[0]


async def abandoned(services: Upstream, paths: set[str], *, within: float) -> set[str]:
    """Which of the paths the services have not seen the caller leave, `within` seconds at most from now."""
    until = time.perf_counter() + within
    while (left := paths - set(services.abandoned)) and time.perf_counter() < until:
        await asyncio.sleep(0.005)
    return left


def leaves(error: BaseException | None) -> list[BaseException]:
    """The exceptions of a group, and of the groups in it."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for one in error.exceptions for leaf in leaves(one)]
    return [error] if error else []


def error_of(call: Call) -> BaseException | None:
    return call.request.error if call.request else None


def failed_in_words(call: Call) -> dict[str, str]:
    """As failure_in_words, of the first exception in a group, and of what cannot be put into an answer."""
    for leaf in leaves(error_of(call))[:1]:
        what = "coroutine" if "'coroutine'" in str(leaf) else "task" if "Task'" in str(leaf) else ""
        if what and type(leaf).__name__ == "PydanticSerializationError":
            return {
                "seen": f"status 500: {type(leaf).__name__}",
                "diagnosis": f"A {what} went into the answer, and not what it comes to. "
                + ("Await it." if what == "coroutine" else "A task that has ended gives it with result()."),
            }
        if call.request is not None:
            call = replace(call, request=replace(call.request, error=leaf))
    return failure_in_words(call)


def said(call: Call) -> str:
    """Status and body of an answer, in words."""
    if call.status is None:
        return call.error or "no answer"
    return f"status {call.status}, `{call.body.decode(errors='replace')[:80]}`"


def parsed(call: Call) -> Any:
    with contextlib.suppress(ValueError):
        return call.json()
    return None
