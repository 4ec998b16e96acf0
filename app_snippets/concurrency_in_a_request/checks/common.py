"""What the exercises of "Concurrency in a request" are judged with."""

import asyncio
import contextlib
from typing import Any

from workbench import clock
from workbench.load import Call, burst
from workbench.server import LiveServer
from workbench.upstream import Reply, Upstream


async def called(server: LiveServer, services: Upstream, path: str, replies: dict[str, Reply]) -> Call:
    """One call while the services answer with `replies`, on a log of its own."""
    services.replies.update(replies)
    services.forget()
    return (await burst(server, path, 1, timeout=2)).calls[0]


async def abandoned(services: Upstream, paths: set[str], *, within: float) -> set[str]:
    """Which of the paths the services have not seen the caller leave, `within` seconds at most from now."""
    until = clock.now() + within
    while (left := paths - set(services.abandoned)) and clock.now() < until:
        await asyncio.sleep(0.005)
    return left


def parsed(call: Call) -> Any:
    with contextlib.suppress(ValueError):
        return call.json()
    return None
