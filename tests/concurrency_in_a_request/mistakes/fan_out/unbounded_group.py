"""A TaskGroup and no bound.

Diagnosis: A TaskGroup ends its children together
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

LIMIT = 10


async def fetch_all(ids: list[int], fetch: Callable[[int], Awaitable[Any]]) -> list[Any]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(fetch(id)) for id in ids]
    return [task.result() for task in tasks]
