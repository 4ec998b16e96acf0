"""Waiting for something to become true."""

import asyncio
import inspect
from collections.abc import Callable

from workbench import clock


async def until(
    condition: Callable[[], object], within: float = 5.0, progress: Callable[[], object] = lambda: None
) -> bool:
    """Wait until the condition holds. False where it does not after `within` seconds without progress.

    condition: called again and again; what it gives is awaited where that is possible.
    progress: what shows that there is some: the time begins anew when its value changes.
    """
    last, deadline = progress(), clock.now() + within
    while not await _value(condition):
        if (now := progress()) != last:
            last, deadline = now, clock.now() + within
        if clock.now() > deadline:
            return bool(await _value(condition))
        await asyncio.sleep(0.004)
    return True


async def _value(condition: Callable[[], object]) -> object:
    found = condition()
    return await found if inspect.isawaitable(found) else found
