"""A burst with a heartbeat beside it: what most exercises about a free loop are judged by."""

import asyncio
from dataclasses import dataclass

from workbench.around.load import Burst, Heartbeat, burst, heartbeat
from workbench.clock import until
from workbench.judge.answer import Answer, Held
from workbench.judge.cell import where_it_is
from workbench.judge.exercise import Probe
from workbench.server.live import LiveServer

PATIENCE = 2.5  # seconds in which a burst must come a step further: an answer, or a line that held the loop


@dataclass
class Trial:
    """One burst, its heartbeat on /ping, and the stretches in which the answer's code held the loop."""

    burst: Burst
    beat: Heartbeat
    held: list[Held]


async def trial(answer: Answer, server: LiveServer, path: str | list[str], n: int) -> Trial:
    """`n` calls at once, and what came of them. Raises NotYet where for a while none of them ends."""
    with answer.watched(server) as held:
        async with heartbeat(server) as beat:
            calling = asyncio.create_task(burst(server, path, n))
            came = await until(calling.done, PATIENCE, lambda: (_done(server), len(held)))
            where = "" if came else where_it_is()
    if not came:
        calling.cancel()
        raise Probe(f"{n} calls at once", "an answer to each").saw(
            f"none for {PATIENCE:g} s: {where}",
            f"`{path}` gives no answer: {where}. What is waited for there does not come.",
        )
    return Trial(await calling, beat, held)


def _done(server: LiveServer) -> int:
    """How many requests have ended, apart from the pings."""
    return sum(one.done is not None and one.path != "/ping" for one in list(server.record.requests))


def require_pings(beat: Heartbeat, tried: str) -> None:
    """Every ping was answered with 200. Raises NotYet."""
    if beat.failures:
        raise Probe(tried, "every ping answered with 200").saw(
            beat.failures[0],
            "`/ping` does not answer as it did. It shows whether the loop is free: leave it as it was.",
        )
