"""Stalls of the machine, and what is judged while there is one."""

import asyncio
import contextlib
import time
from collections.abc import Iterator

import pytest

from workbench import exercises, machine
from workbench.judging import NOT_YET, PASSED, Verdict, find_exercise
from workbench.machine import Stalls


def test_a_thread_that_cannot_run_is_a_stall() -> None:
    with machine.watched() as stalls:
        begun = time.perf_counter()
        sum(range(10_000_000))  # one call in C that keeps the GIL
        took = time.perf_counter() - begun
    assert took / 2 < stalls.longest < 2 * took


def test_waiting_is_no_stall() -> None:
    tries = []
    for _ in range(3):
        with machine.watched() as stalls:
            time.sleep(0.3)
        tries.append(stalls.longest)
    assert min(tries) < 0.15


@pytest.mark.parametrize(
    ("stalls", "patience", "judged"),
    [
        ([0.0], 60, 1),
        ([0.05], 60, 1),  # too short to matter
        ([0.5, 0.0], 60, 2),
        ([0.5, 0.5], 60, 3),  # the third one stands
        ([0.5], 0, 1),  # it took long enough
    ],
)
def test_what_was_judged_during_a_stall_is_judged_again(
    monkeypatch: pytest.MonkeyPatch, stalls: list[float], patience: float, judged: int
) -> None:
    came = iter(stalls)
    verdicts = [Verdict(NOT_YET)] * (judged - 1) + [Verdict(PASSED)]
    given = []

    @contextlib.contextmanager
    def watched() -> Iterator[Stalls]:
        yield Stalls(next(came))

    async def verdict(*_: object) -> Verdict:
        given.append(verdicts[len(given)])
        return given[-1]

    monkeypatch.setattr(exercises.machine, "watched", watched)
    monkeypatch.setattr(exercises, "_verdict_on", verdict)
    monkeypatch.setattr(exercises, "PATIENCE", patience)
    last = asyncio.run(exercises.verdict_on(find_exercise("live_laboratory/burst"), ""))
    assert last.state == PASSED
    assert len(given) == judged
