"""httpx has measured each call."""

import asyncio
import time

import httpx


async def burst(url: str, n: int) -> list[float]:
    """Make n GET calls of url at once, with one httpx.AsyncClient. Return the seconds that each call took."""
    async with httpx.AsyncClient() as client:
        replies = await asyncio.gather(*(client.get(url) for _ in range(n)))
    return [reply.elapsed.total_seconds() for reply in replies]
