"""Workers on a queue, and a join that nobody ends.

Diagnosis: the one that failed never says that it is done
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
            queue.task_done()

    workers = [asyncio.create_task(work()) for _ in range(LIMIT)]
    await queue.join()
    for worker in workers:
        worker.cancel()
    return [results[id] for id in ids]
