"""Ten workers share one iterator."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

LIMIT = 10


async def fetch_all(ids: list[int], fetch: Callable[[int], Awaitable[Any]]) -> list[Any]:
    results: dict[int, Any] = {}
    left = iter(ids)

    async def work() -> None:
        for id in left:
            results[id] = await fetch(id)

    async with asyncio.TaskGroup() as group:
        for _ in range(LIMIT):
            group.create_task(work())
    return [results[id] for id in ids]
