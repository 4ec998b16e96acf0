"""A semaphore and gather: after an error the others go on.

Diagnosis: went on behind the caller's back
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

LIMIT = 10


async def fetch_all(ids: list[int], fetch: Callable[[int], Awaitable[Any]]) -> list[Any]:
    places = asyncio.Semaphore(LIMIT)

    async def fetch_when_free(id: int) -> Any:
        async with places:
            return await fetch(id)

    return await asyncio.gather(*(fetch_when_free(id) for id in ids))
