"""The computing itself. It imports nothing heavy, because every worker process imports this file."""

import os


def is_prime(number: int) -> bool:
    """Divide by every smaller odd number up to the root. Pure Python, and slow on purpose."""
    if number < 4 or number % 2 == 0:
        return number in (2, 3)
    return all(number % divisor for divisor in range(3, int(number**0.5) + 1, 2))


def count_primes(limit: int, *, start: int = 0) -> dict[str, int]:
    """How many primes there are from `start` up to `limit`, and the id of the process that counted them."""
    primes = sum(is_prime(number) for number in range(start, limit))
    return {"primes": primes, "process": os.getpid()}
