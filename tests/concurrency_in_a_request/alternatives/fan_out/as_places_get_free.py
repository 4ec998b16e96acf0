"""asyncio.wait for the first that ends."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

LIMIT = 10


async def fetch_all(ids: list[int], fetch: Callable[[int], Awaitable[Any]]) -> list[Any]:
    """What `await fetch(id)` returns for each of the ids, in their order, with at most LIMIT calls in flight."""
    results = {}
    todo = iter(enumerate(ids))
    running = set()
    where = {}
    try:
        while True:
            while len(running) < LIMIT and (nxt := next(todo, None)):
                t = asyncio.create_task(fetch(nxt[1]))
                where[t] = nxt[0]
                running.add(t)
            if not running:
                break
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for t in done:
                results[where.pop(t)] = t.result()
    finally:
        for t in running:
            t.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    return [results[i] for i in range(len(ids))]
