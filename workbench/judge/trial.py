"""A burst with a heartbeat beside it: what most exercises about a free loop are judged by."""

from dataclasses import dataclass

from workbench.around.load import Burst, Heartbeat, burst, heartbeat
from workbench.judge.answer import Answer, Held
from workbench.judge.exercise import Probe
from workbench.server.live import LiveServer


@dataclass
class Trial:
    """One burst, its heartbeat on /ping, and the stretches in which the answer's code held the loop."""

    burst: Burst
    beat: Heartbeat
    held: list[Held]


async def trial(answer: Answer, server: LiveServer, path: str | list[str], n: int) -> Trial:
    """`n` calls at once, and what came of them."""
    with answer.watched(server) as held:
        async with heartbeat(server) as beat:
            result = await burst(server, path, n, timeout=8)
    return Trial(result, beat, held)


def require_pings(beat: Heartbeat, tried: str) -> None:
    """Every ping was answered with 200. Raises NotYet."""
    if beat.failures:
        raise Probe(tried, "every ping answered with 200").saw(
            beat.failures[0],
            "`/ping` does not answer as it did. It shows whether the loop is free: leave it as it was.",
        )
