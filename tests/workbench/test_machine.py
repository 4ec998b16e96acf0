"""Stalls of the machine, and what is judged while there is one."""

import asyncio
import signal
import subprocess
import sys
import time

import pytest

from workbench import exercises, machine
from workbench.judging import NOT_YET, PASSED, Verdict, find_exercise

WATCHED = """
import time
from workbench import machine
with machine.watched() as stalls:
    print("ready", flush=True)
    time.sleep(1)
print(stalls.longest)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signal that stops a process")
def test_a_process_that_is_not_let_run_has_a_stall() -> None:
    with subprocess.Popen([sys.executable, "-c", WATCHED], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.6)
        process.send_signal(signal.SIGCONT)
        assert float(process.stdout.readline()) > 0.4


def test_who_waits_has_no_stall() -> None:
    tries = []
    for _ in range(3):
        with machine.watched() as stalls:
            time.sleep(0.4)
        tries.append(stalls.longest)
    assert min(tries) < 0.2


def test_who_computes_with_the_gil_has_no_stall_for_that() -> None:
    wall, used = time.perf_counter(), time.process_time()
    with machine.watched() as stalls:
        sum(range(15_000_000))  # one call in C, in which no other thread of Python runs
    wall, used = time.perf_counter() - wall, time.process_time() - used
    assert stalls.longest < wall - used + 0.05  # a busy machine gives it less than all of the time


STOPS_ITSELF = """
import os, subprocess, sys
helper = "import os, signal, time; boss = os.getppid(); os.kill(boss, signal.SIGSTOP); time.sleep(0.6); "
subprocess.run([sys.executable, "-c", helper + "os.kill(boss, signal.SIGCONT)"])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signal that stops a process")
def test_a_verdict_tells_of_the_stall_that_it_was_come_to_in() -> None:
    verdict = asyncio.run(exercises._verdict_on(find_exercise("live_laboratory/burst"), STOPS_ITSELF))
    assert verdict.stalled > 0.4


@pytest.mark.parametrize("states", [(NOT_YET, PASSED), (PASSED, NOT_YET)], ids=" then ".join)
@pytest.mark.parametrize(
    ("stalls", "patience"),
    [
        ([0.0], 60),
        ([0.05], 60),  # too short to matter
        ([0.5, 0.0], 60),
        ([0.5, 0.5, 0.5], 60),  # the third one stands
        ([0.5], 0),  # it took long enough
    ],
)
def test_what_was_judged_during_a_stall_is_judged_again(
    monkeypatch: pytest.MonkeyPatch, stalls: list[float], patience: float, states: tuple[str, str]
) -> None:
    """Whether it had passed or not: a wrong answer may pass, too, when the machine stands still."""
    before, at_last = states
    last = Verdict(at_last, stalled=stalls[-1])
    come = iter([*(Verdict(before, stalled=stall) for stall in stalls[:-1]), last])

    async def verdict(*_: object) -> Verdict:
        return next(come)

    monkeypatch.setattr(exercises, "PATIENCE", patience)
    monkeypatch.setattr(exercises, "_verdict_on", verdict)
    assert asyncio.run(exercises.verdict_on(find_exercise("live_laboratory/burst"), "")) is last
    assert next(come, None) is None
