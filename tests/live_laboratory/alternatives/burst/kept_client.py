"""One client, kept for all bursts."""

import asyncio
import time

import httpx


client = httpx.AsyncClient()


async def burst(url: str, n: int) -> list[float]:
    """Make n GET calls of url at once, with one httpx.AsyncClient. Return the seconds that each call took."""

    async def one_call() -> float:
        start = time.perf_counter()
        await client.get(url)
        return time.perf_counter() - start

    return await asyncio.gather(*(one_call() for _ in range(n)))
