"""Waiting for something to become true."""

import asyncio
import time
from collections.abc import Callable


async def until(condition: Callable[[], object], within: float, progress: Callable[[], object] = lambda: None) -> bool:
    """Wait until the condition holds. False where it does not after `within` seconds without progress.

    progress: what shows that there is some: the time begins anew when its value changes.
    """
    last, deadline = progress(), time.perf_counter() + within
    while not condition():
        if (now := progress()) != last:
            last, deadline = now, time.perf_counter() + within
        if time.perf_counter() > deadline:
            return bool(condition())
        await asyncio.sleep(0.004)
    return True
