"""The results in the order in which they came in.

Diagnosis: in the order in which they came in
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

LIMIT = 10


async def fetch_all(ids: list[int], fetch: Callable[[int], Awaitable[Any]]) -> list[Any]:
    places = asyncio.Semaphore(LIMIT)
    results: list[Any] = []

    async def fetch_when_free(id: int) -> Any:
        async with places:
            results.append(await fetch(id))

    async with asyncio.TaskGroup() as group:
        for id in ids:
            group.create_task(fetch_when_free(id))
    return results
