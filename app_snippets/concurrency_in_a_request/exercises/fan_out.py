import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

LIMIT = 10


async def fetch_all(ids: list[int], fetch: Callable[[int], Awaitable[Any]]) -> list[Any]:
    """What `await fetch(id)` returns for each of the ids, in their order, with at most LIMIT calls in flight."""
    # BEGIN SOLUTION
    places = asyncio.Semaphore(LIMIT)

    async def fetch_when_free(id: int) -> Any:
        async with places:
            return await fetch(id)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(fetch_when_free(id)) for id in ids]
    return [task.result() for task in tasks]
    # STARTER
    # | return await asyncio.gather(*(fetch(id) for id in ids))
    # END SOLUTION
