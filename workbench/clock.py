"""The bench's clock, waiting by it, and how a process that judges gets one that stands still while the machine does.

A machine that is busy, shared or stalled takes time away from a process, and every limit in it passes meanwhile:
the answer's own timeouts, too. `stand_still_with_the_machine` takes such time off the clock that the bench, the
event loops and the answer go by. What the process computes counts, and what it sleeps; that it was kept waiting
for the processor does not. So a wait of 0.2 s is one, and longer than one of 0.1 s, whatever the machine does.
"""

import asyncio
import contextlib
import functools
import inspect
import os
import random
import threading
import time
from collections.abc import Callable

STEP = 0.003  # seconds between two looks at the clock
CLOCKS = ("perf_counter", "monotonic", "time")  # of the time module
REPLACED = ("sleep", *CLOCKS, *(f"{name}_ns" for name in CLOCKS))  # where the clock stands still

# Bound when the bench is imported, because an answer may change the time module.
_perf_counter, _process_time, _sleep = time.perf_counter, time.process_time, time.sleep


class _Clock:
    """Seconds in which this process ran or slept. Somebody must `look` at it every STEP seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._state = _perf_counter(), _process_time(), 0.0  # of the last look: the time, what was used, what was lost

    def now(self) -> float:
        seen, _, lost = self._state
        real = _perf_counter()
        return real - lost if real - seen <= 2 * STEP else self.look()

    def look(self) -> float:
        """Take off what was lost since the last look, and return the time."""
        with self._lock:
            seen, used_before, lost = self._state
            real, used = _perf_counter(), _process_time()
            lost += max(0.0, real - seen - max(2 * STEP, used - used_before))
            self._state = real, used, lost
            return real - lost


_clock: _Clock | None = None


def now() -> float:
    """Seconds as of `time.perf_counter()`, less those that were lost where the clock stands still."""
    return _perf_counter() if _clock is None else _clock.now()


def sleep(seconds: float, /) -> None:
    """As `time.sleep`, by this clock."""
    end = now() + seconds
    _sleep(seconds)
    while (left := end - now()) > 0:
        _sleep(left)


async def until(
    condition: Callable[[], object], within: float = 5.0, progress: Callable[[], object] = lambda: None
) -> bool:
    """Wait until the condition holds. False where it does not after `within` seconds without progress.

    condition: called again and again; what it gives is awaited where that is possible.
    progress: what shows that there is some: the time starts again when its value changes.
    """
    last, deadline = progress(), now() + within
    while not await _value(condition):
        if (seen := progress()) != last:
            last, deadline = seen, now() + within
        if now() > deadline:
            return bool(await _value(condition))
        await asyncio.sleep(0.004)
    return True


async def _value(condition: Callable[[], object]) -> object:
    found = condition()
    return await found if inspect.isawaitable(found) else found


def stands_still() -> bool:
    """Whether this process's clock stands still while the machine does."""
    return _clock is not None


def stand_still_with_the_machine() -> None:
    """From now on, time in which the machine did not let this process run is on no clock of Python's in it.

    What waits in C goes by the machine's own clock: locks with a timeout, sockets, and uvloop's loops.
    """
    global _clock
    _share_one_core()
    clock = _clock = _Clock()
    machines = {name: getattr(time, name) for name in REPLACED}
    for name in CLOCKS:
        ahead = machines[name]() - clock.now()
        setattr(time, name, functools.partial(_ahead_by, ahead))
        setattr(time, f"{name}_ns", functools.partial(_nanoseconds, ahead))
    time.perf_counter = clock.now  # the one that is asked most often
    time.sleep = sleep  # type: ignore[assignment]  # it takes what can be added to a float

    def watch() -> None:
        while True:
            _sleep(STEP)
            clock.look()

    def go_by_the_machines() -> None:
        global _clock
        _clock = None
        for name, function in machines.items():
            setattr(time, name, function)

    if hasattr(os, "register_at_fork"):  # a thread does not live on in a copy of its process, and nobody looks there
        os.register_at_fork(after_in_child=go_by_the_machines)
    threading.Thread(target=watch, name="clock", daemon=True).start()


def _share_one_core() -> None:
    """Keep all threads on one core, where the platform can: when one is kept waiting, so is the one that looks."""
    if hasattr(os, "sched_setaffinity"):
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, {random.choice(tuple(os.sched_getaffinity(0)))})


def _ahead_by(seconds: float) -> float:
    return now() + seconds


def _nanoseconds(ahead: float) -> int:
    return int(1e9 * (now() + ahead))
