"""A place is taken and not given back.

Diagnosis: are not given back
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

LIMIT = 10


async def fetch_all(ids: list[int], fetch: Callable[[int], Awaitable[Any]]) -> list[Any]:
    places = asyncio.Semaphore(LIMIT)

    async def fetch_when_free(id: int) -> Any:
        await places.acquire()
        return await fetch(id)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(fetch_when_free(id)) for id in ids]
    return [task.result() for task in tasks]
