"""A TaskGroup instead of gather."""

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

        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(one_call()) for _ in range(n)]
        return [call.result() for call in calls]
