"""It returns the responses.

Diagnosis: What burst returns is not the latencies
"""

import asyncio
import time

import httpx


async def burst(url: str, n: int) -> list[float]:
    """Make n GET calls of url in the same moment, with one client. Return the seconds that each call took."""
    async with httpx.AsyncClient() as client:
        return await asyncio.gather(*(client.get(url) for _ in range(n)))
