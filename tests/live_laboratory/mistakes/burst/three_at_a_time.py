"""A semaphore lets three calls go at a time.

Diagnosis: Something lets only 3 calls go at a time
"""

import asyncio
import time

import httpx


async def burst(url: str, n: int) -> list[float]:
    """Make n GET calls of url in the same moment, with one client. Return the seconds that each call took."""
    three = asyncio.Semaphore(3)
    async with httpx.AsyncClient() as client:

        async def one_call() -> float:
            async with three:
                start = time.perf_counter()
                await client.get(url)
                return time.perf_counter() - start

        return await asyncio.gather(*(one_call() for _ in range(n)))
