"""Workers that take the ids out of the caller's list.

Diagnosis: The list of ids was used up
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

LIMIT = 10


async def fetch_all(ids: list[int], fetch: Callable[[int], Awaitable[Any]]) -> list[Any]:
    results: dict[int, Any] = {}
    order = list(ids)

    async def work() -> None:
        while ids:
            id = ids.pop()
            results[id] = await fetch(id)

    async with asyncio.TaskGroup() as group:
        for _ in range(LIMIT):
            group.create_task(work())
    return [results[id] for id in order]
