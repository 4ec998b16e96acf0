"""After an error, tasks that wait for a place are left to begin.

Diagnosis: went on behind the caller's back
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

LIMIT = 10


async def fetch_all(ids: list[int], fetch: Callable[[int], Awaitable[Any]]) -> list[Any]:
    places = asyncio.Semaphore(LIMIT)
    running: set[asyncio.Task[Any]] = set()

    async def fetch_when_free(id: int) -> Any:
        async with places:
            running.add(fetching := asyncio.ensure_future(fetch(id)))
            try:
                return await fetching
            finally:
                running.discard(fetching)

    tasks = [asyncio.create_task(fetch_when_free(id)) for id in ids]
    try:
        return await asyncio.gather(*tasks)
    except Exception:
        for fetching in list(running):
            fetching.cancel()
        await asyncio.gather(*list(running), return_exceptions=True)
        raise
