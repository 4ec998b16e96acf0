"""Whether the machine stood still: what was measured in such a moment says nothing about the code."""

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

STEP = 0.005  # seconds between two looks at the clock


@dataclass
class Stalls:
    """How long the machine stood still at the longest, in seconds, as far as a thread that only sleeps can tell."""

    longest: float = 0.0


@contextlib.contextmanager
def watched() -> Iterator[Stalls]:
    """Watch for stalls while the block runs: of the machine, or of this process and its GIL."""
    stalls, over = Stalls(), threading.Event()

    def watch() -> None:
        due = time.perf_counter() + STEP
        while not over.wait(max(0.0, due - time.perf_counter())):
            now = time.perf_counter()
            stalls.longest = max(stalls.longest, now - due)
            due = now + STEP

    thread = threading.Thread(target=watch, name="stalls", daemon=True)
    thread.start()
    try:
        yield stalls
    finally:
        over.set()
        thread.join()
