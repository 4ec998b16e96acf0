"""Each call is awaited before the next one is made.

Diagnosis: The calls go one after another
"""

import asyncio
import time

import httpx


async def burst(url: str, n: int) -> list[float]:
    """Make n GET calls of url in the same moment, with one client. Return the seconds that each call took."""
    latencies = []
    async with httpx.AsyncClient() as client:
        for _ in range(n):
            start = time.perf_counter()
            await client.get(url)
            latencies.append(time.perf_counter() - start)
    return latencies
