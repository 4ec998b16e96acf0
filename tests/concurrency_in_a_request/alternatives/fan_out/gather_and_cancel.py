"""gather, and the others ended by hand."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

LIMIT = 10


async def fetch_all(ids: list[int], fetch: Callable[[int], Awaitable[Any]]) -> list[Any]:
    places = asyncio.Semaphore(LIMIT)

    async def fetch_when_free(id: int) -> Any:
        async with places:
            return await fetch(id)

    tasks = [asyncio.create_task(fetch_when_free(id)) for id in ids]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
