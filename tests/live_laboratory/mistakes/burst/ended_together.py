"""Each call starts a clock of its own, and all are read once, at the end.

Diagnosis: Start and read the clock inside the coroutine that makes one call
"""

import asyncio
import time

import httpx


async def burst(url: str, n: int) -> list[float]:
    """Make n GET calls of url in the same moment, with one client. Return the seconds that each call took."""
    starts = []
    async with httpx.AsyncClient() as client:

        async def one_call() -> None:
            starts.append(time.perf_counter())
            await client.get(url)

        await asyncio.gather(*(one_call() for _ in range(n)))
    return [time.perf_counter() - start for start in starts]
