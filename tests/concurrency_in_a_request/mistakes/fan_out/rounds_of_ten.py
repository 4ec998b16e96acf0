"""Ten, and then the next ten.

Diagnosis: fetched in rounds
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

LIMIT = 10


async def fetch_all(ids: list[int], fetch: Callable[[int], Awaitable[Any]]) -> list[Any]:
    results: list[Any] = []
    for start in range(0, len(ids), LIMIT):
        results += await asyncio.gather(*(fetch(id) for id in ids[start : start + LIMIT]))
    return results
