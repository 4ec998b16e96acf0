"""What both exercises of "CPU work" are judged with."""

import contextlib
import math
import multiprocessing
import multiprocessing.process
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from time import process_time
from typing import Any
from unittest.mock import patch

from app_snippets.cpu_work.work import is_prime

LARGE = 10_000_000_000
LARGE_TAKES = 0.0006  # seconds of the processor for a large number on average; a prime takes twenty times as long


def numbers_that_take(seconds: float, start: int) -> int:
    """As many numbers, from `start` on, as take about so many seconds of the processor here and now."""
    begun, number = process_time(), start
    while (took := process_time() - begun) < seconds / 4:
        is_prime(number)
        number += 1
    growth = 2 / 3 if start == 0 else 1  # the cost of a number grows with its root
    return round((number - start) * (seconds / took) ** growth)


def start_of_large_numbers() -> int:
    """A number from which on each takes about LARGE_TAKES, here and now."""
    takes = 0.04 / numbers_that_take(0.04, LARGE)
    return round(LARGE * (LARGE_TAKES / takes) ** 2)  # the cost of a number grows with its root


def primes_between(start: int, limit: int) -> int:
    """How many primes there are, by a sieve."""
    sieve = bytearray([0, 0]) + bytearray([1]) * max(0, limit - 2)
    for number in range(2, math.isqrt(limit) + 1):
        if sieve[number]:
            sieve[number * number :: number] = bytes(len(range(number * number, limit, number)))
    return sum(sieve[start:limit])


@dataclass
class Started:
    """The processes that this process has started: by multiprocessing, and otherwise, of which only the id is known."""

    processes: list[multiprocessing.process.BaseProcess] = field(default_factory=list)
    others: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.processes) + len(self.others)

    def ids(self) -> set[int]:
        """The ids of all of them, whether they still run or not."""
        return {process.pid or 0 for process in list(self.processes)} | set(self.others)

    def alive(self) -> list[int]:
        """The ids of those that still run."""
        left = []
        for process in list(self.processes):
            with contextlib.suppress(ValueError, AssertionError):  # closed, which only one that has ended can be
                if process.is_alive():
                    left.append(process.pid or 0)
        return left

    def end(self) -> None:
        """End those that are left."""
        for process in list(self.processes):
            with contextlib.suppress(Exception):
                process.kill()


@contextlib.contextmanager
def watching_processes() -> Iterator[Started]:
    """Note every process that is started, and leave none behind."""
    started = Started()
    start, popen = multiprocessing.process.BaseProcess.start, subprocess.Popen.__init__

    def noting_start(self: multiprocessing.process.BaseProcess) -> None:
        start(self)
        started.processes.append(self)

    def noting_popen(self: "subprocess.Popen[Any]", *args: Any, **options: Any) -> None:
        popen(self, *args, **options)
        started.others.append(self.pid)

    with (
        patch.object(multiprocessing.process.BaseProcess, "start", noting_start),
        patch.object(subprocess.Popen, "__init__", noting_popen),
    ):
        try:
            yield started
        finally:
            started.end()


def names_used(function: Any) -> set[str]:
    """The names that a function and those inside it use."""
    codes, names = [getattr(function, "__code__", None)], set()
    while codes:
        code = codes.pop()
        if code is not None:
            names |= set(code.co_names)
            codes += [one for one in code.co_consts if hasattr(one, "co_names")]
    return names
