"""Milliseconds instead of seconds.

Diagnosis: not the seconds that each call took
"""

import asyncio
import time

import httpx


async def burst(url: str, n: int) -> list[float]:
    """Make n GET calls of url in the same moment, with one client. Return the seconds that each call took."""
    async with httpx.AsyncClient() as client:

        async def one_call() -> float:
            start = time.perf_counter()
            await client.get(url)
            return time.perf_counter() - start

        return [1000 * one for one in await asyncio.gather(*(one_call() for _ in range(n)))]
