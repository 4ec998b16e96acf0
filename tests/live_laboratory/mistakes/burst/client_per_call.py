"""A new client for each call.

Diagnosis: Each call builds a client of its own
"""

import asyncio
import time

import httpx


async def burst(url: str, n: int) -> list[float]:
    """Make n GET calls of url in the same moment, with one client. Return the seconds that each call took."""

    async def one_call() -> float:
        start = time.perf_counter()
        async with httpx.AsyncClient() as client:
            await client.get(url)
        return time.perf_counter() - start

    return await asyncio.gather(*(one_call() for _ in range(n)))
