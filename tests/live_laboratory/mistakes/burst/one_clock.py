"""One clock for all calls.

Diagnosis: one clock was read once for all of them
"""

import asyncio
import time

import httpx


async def burst(url: str, n: int) -> list[float]:
    """Make n GET calls of url in the same moment, with one client. Return the seconds that each call took."""
    async with httpx.AsyncClient() as client:
        start = time.perf_counter()
        await asyncio.gather(*(client.get(url) for _ in range(n)))
        return [time.perf_counter() - start] * n
