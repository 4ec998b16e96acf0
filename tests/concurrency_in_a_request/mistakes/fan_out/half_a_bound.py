"""Five at a time.

Diagnosis: is tighter than it must be
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

LIMIT = 10


async def fetch_all(ids: list[int], fetch: Callable[[int], Awaitable[Any]]) -> list[Any]:
    places = asyncio.Semaphore(LIMIT // 2)

    async def fetch_when_free(id: int) -> Any:
        async with places:
            return await fetch(id)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(fetch_when_free(id)) for id in ids]
    return [task.result() for task in tasks]
