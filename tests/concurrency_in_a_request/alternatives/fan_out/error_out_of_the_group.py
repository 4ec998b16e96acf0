"""The error comes out of the group by itself."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

LIMIT = 10


async def fetch_all(ids: list[int], fetch: Callable[[int], Awaitable[Any]]) -> list[Any]:
    """What `await fetch(id)` returns for each of the ids, in their order, with at most LIMIT calls in flight."""
    places = asyncio.Semaphore(LIMIT)

    async def one(id):
        async with places:
            return await fetch(id)

    error = None
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(id)) for id in ids]
    except* Exception as eg:
        error = eg.exceptions[0]
    if error:
        raise error
    return [t.result() for t in tasks]
