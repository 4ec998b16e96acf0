"""The semaphore is made once, for all callers."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

LIMIT = 10


places = asyncio.Semaphore(LIMIT)


async def fetch_all(ids, fetch):
    async def one(id):
        async with places:
            return await fetch(id)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(id)) for id in ids]
    return [t.result() for t in tasks]
