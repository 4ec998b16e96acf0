"""The computing itself. It imports nothing heavy, because every worker process imports this file."""

import os
import time


def is_prime(number: int) -> bool:
    """Divide by every smaller odd number up to the root. Pure Python, and slow on purpose."""
    if number < 4 or number % 2 == 0:
        return number in (2, 3)
    return all(number % divisor for divisor in range(3, int(number**0.5) + 1, 2))


def count_primes(limit: int, *, start: int = 0) -> dict[str, int]:
    """How many primes there are from `start` up to `limit`, which process counted them, and its work in ms."""
    begin = time.thread_time()  # what this thread computes; waiting does not count
    primes = sum(is_prime(number) for number in range(start, limit))
    cpu_ms = round(1000 * (time.thread_time() - begin))
    return {"primes": primes, "process": os.getpid(), "cpu_ms": cpu_ms}
