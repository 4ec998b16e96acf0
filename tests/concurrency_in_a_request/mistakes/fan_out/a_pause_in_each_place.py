"""A place is kept for a pause after its call.

Diagnosis: something waits between two calls
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

LIMIT = 10


async def fetch_all(ids: list[int], fetch: Callable[[int], Awaitable[Any]]) -> list[Any]:
    places = asyncio.Semaphore(LIMIT)

    async def fetch_when_free(id: int) -> Any:
        async with places:
            result = await fetch(id)
            await asyncio.sleep(0.05)
            return result

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(fetch_when_free(id)) for id in ids]
    return [task.result() for task in tasks]
