"""Workers on a queue that nobody ends, and a group that waits for them.

Diagnosis: it waits for something else
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

LIMIT = 10


async def fetch_all(ids: list[int], fetch: Callable[[int], Awaitable[Any]]) -> list[Any]:
    queue: asyncio.Queue[int] = asyncio.Queue()
    results: dict[int, Any] = {}
    for id in ids:
        queue.put_nowait(id)

    async def work() -> None:
        while True:
            id = await queue.get()
            results[id] = await fetch(id)

    async with asyncio.TaskGroup() as group:
        for _ in range(LIMIT):
            group.create_task(work())
    return [results[id] for id in ids]
