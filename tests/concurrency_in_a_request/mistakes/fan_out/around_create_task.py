"""The semaphore is held while a task is made, not while it runs.

Diagnosis: no fetch runs inside it
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

LIMIT = 10


async def fetch_all(ids: list[int], fetch: Callable[[int], Awaitable[Any]]) -> list[Any]:
    places = asyncio.Semaphore(LIMIT)
    tasks = []
    async with asyncio.TaskGroup() as group:
        for id in ids:
            async with places:
                tasks.append(group.create_task(fetch(id)))
    return [task.result() for task in tasks]
