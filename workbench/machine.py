"""Whether the machine stood still: what was measured in such a moment says nothing about the code."""

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

STEP = 0.005  # seconds between two looks at the clock


@dataclass
class Stalls:
    """How long this process could not run at the longest, in seconds, as far as a thread that only sleeps can tell."""

    longest: float = 0.0


@contextlib.contextmanager
def watched() -> Iterator[Stalls]:
    """Watch for stalls while the block runs: the thread wakes up late, although nobody in this process computed."""
    stalls, over = Stalls(), threading.Event()

    def watch() -> None:
        now, used = time.perf_counter(), time.process_time()
        while not over.wait(STEP):
            before, used_before = now, used
            now, used = time.perf_counter(), time.process_time()
            stalls.longest = max(stalls.longest, now - before - STEP - (used - used_before))

    thread = threading.Thread(target=watch, name="stalls", daemon=True)
    thread.start()
    try:
        yield stalls
    finally:
        over.set()
        thread.join()
