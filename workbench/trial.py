"""Trials of an answer, and when to try again: a busy machine must not spoil a verdict."""

import contextlib
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from workbench.answer import Answer, Held
from workbench.judging import NotYet
from workbench.load import Burst, Heartbeat, burst, heartbeat
from workbench.server import LiveServer

ATTEMPTS = 3

T = TypeVar("T")


@dataclass
class Trial:
    """One burst, its heartbeat on /ping, and the stretches in which the answer's code held the loop."""

    burst: Burst
    beat: Heartbeat
    held: list[Held]


async def calm_trial(
    answer: Answer,
    server: LiveServer,
    path: str | list[str],
    n: int = 10,
    *,
    ping: float,
    certain: float,
    wall: float = math.inf,
) -> Trial:
    """`n` calls at once. Tried again, twice at most, where a busy machine may have caused a missed bound.

    Returns the trial with the quickest pings.

    ping, wall: seconds that the slowest ping and the whole burst may take.
    certain: seconds, all in all, for which the answer's own lines held the loop, and which no busy machine
        explains: then there is no second try.
    """
    trials = []
    for _ in range(ATTEMPTS):
        with answer.watched(server) as held:
            async with heartbeat(server) as beat:
                result = await burst(server, path, n, timeout=6)
        trials.append(Trial(result, beat, held))
        if sum(one.seconds for one in held) >= certain or (beat.longest <= ping and result.wall <= wall):
            break
    return min(trials, key=lambda trial: trial.beat.longest)


class Noisy(NotYet):
    """A bound that a busy machine may have missed: tried again."""


async def calmly(trial: Callable[[], Awaitable[T]]) -> T:
    """Run a trial; where only noise can have spoiled it, run it again, twice at most."""
    for _ in range(ATTEMPTS - 1):
        with contextlib.suppress(Noisy):
            return await trial()
    return await trial()


def require_pings(beat: Heartbeat, tried: str) -> None:
    """Every ping was answered with 200. Raises NotYet."""
    if beat.failures:
        raise NotYet(
            tried=tried,
            expected="every ping answered with 200",
            seen=beat.failures[0],
            diagnosis="`/ping` does not answer as it did. It shows whether the loop is free: leave it as it was.",
        )
