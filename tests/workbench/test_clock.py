"""The clock that stands still while the machine does not let a process run."""

import asyncio
import itertools
import multiprocessing
import random
import subprocess
import sys

import pytest

from workbench import clock, course
from workbench.judge import PASSED, find_exercise
from workbench.judge.verdicts import verdict_on
from workbench.notebook.cards import in_words

needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signal that stops a process")

STOPPED = """
import os, signal, subprocess, sys, threading
HELPER = "import os, select, signal, sys, time; sys.stdin.readline(); time.sleep(0.6); boss = os.getppid()\\n"
HELPER += "while not select.select([sys.stdin], [], [], 0.1)[0]: os.kill(boss, signal.SIGCONT)"

def be_stopped_soon():
    helper = subprocess.Popen([sys.executable, "-S", "-c", HELPER], stdin=subprocess.PIPE)
    def stop():
        helper.stdin.write(b"stopping\\n")
        helper.stdin.flush()
        os.kill(os.getpid(), signal.SIGSTOP)
    threading.Timer(0.05, stop).start()
    return helper
"""


class Machine:
    """Time that passes, and time that the process gets, as a test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.real, self.used = 100.0, 5.0
        monkeypatch.setattr(clock, "_perf_counter", lambda: self.real)
        monkeypatch.setattr(clock, "_process_time", lambda: self.used)
        self.clock = clock._Clock()

    def passes(self, seconds: float, used: float = 0.0) -> None:
        self.real, self.used = self.real + seconds, self.used + used


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def test_sleeping_counts(machine: Machine) -> None:
    before = machine.clock.now()
    for _ in range(100):
        machine.passes(clock.STEP)
        machine.clock.look()
    assert machine.clock.now() - before == pytest.approx(100 * clock.STEP)


def test_computing_counts_though_nobody_can_look_meanwhile(machine: Machine) -> None:
    before = machine.clock.now()
    machine.passes(2.0, used=2.0)
    assert machine.clock.now() - before == pytest.approx(2.0)


def test_being_kept_waiting_does_not_count(machine: Machine) -> None:
    before = machine.clock.now()
    machine.passes(2.0, used=0.5)
    assert machine.clock.now() - before == pytest.approx(0.5)
    machine.passes(3.0)
    assert machine.clock.now() - before == pytest.approx(0.5 + 2 * clock.STEP)


def test_it_never_goes_back(machine: Machine) -> None:
    said = []
    for _ in range(5_000):
        seconds = random.choice([0.0001, 0.004, 0.007, 0.05, 0.4])
        machine.passes(seconds, used=seconds * random.choice([0, 0.3, 1, 2]))
        said.append(random.choice([machine.clock.now, machine.clock.look])())
    assert all(after >= before for before, after in itertools.pairwise(said))


LIMITS = """
import asyncio, time
from workbench import clock
real = time.perf_counter
clock.stand_still_with_the_machine()

async def wait():
    async with asyncio.timeout(0.4):  # of which a stop of 0.6 s would leave nothing
        await asyncio.sleep(0.2)

for wait_for in (lambda: asyncio.run(wait()), lambda: time.sleep(0.2)):
    helper = be_stopped_soon()
    begun = clock.now(), time.perf_counter(), time.monotonic(), time.time_ns() / 1e9, real()
    wait_for()
    took = [after - before for after, before in zip(
        (clock.now(), time.perf_counter(), time.monotonic(), time.time_ns() / 1e9, real()), begun)]
    helper.communicate()
    assert all(0.2 <= one < took[-1] - 0.4 for one in took[:-1]), took
print("held")
"""


@needs_signals
def test_no_limit_passes_while_the_process_is_stopped() -> None:
    done = subprocess.run([sys.executable, "-c", STOPPED + LIMITS], capture_output=True, text=True)
    assert done.stdout == "held\n", done.stderr


FORKED = """
import os, time
from workbench import clock
machines = time.sleep, time.perf_counter
clock.stand_still_with_the_machine()
assert (time.sleep, time.perf_counter) != machines
if os.fork() == 0:
    os._exit((time.sleep, time.perf_counter) != machines or clock.stands_still())
print(os.waitstatus_to_exitcode(os.wait()[1]))
"""


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="processes are not forked here")
def test_a_forked_process_goes_by_the_machines_clock() -> None:
    done = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True)
    assert done.stdout == "0\n", done.stderr


@needs_signals
def test_an_answer_that_was_stopped_in_the_middle_is_judged_as_if_it_had_not_been() -> None:
    name = "concurrency_in_a_request/dashboard"  # its budget is half of the stop
    cell = course.answer_cell(name) + "\n" + STOPPED + "be_stopped_soon()\n"
    verdict = asyncio.run(verdict_on(find_exercise(name), cell))
    assert verdict.state == PASSED, in_words(find_exercise(name), verdict)


def test_this_process_goes_by_the_machines_clock() -> None:
    assert not clock.stands_still()
