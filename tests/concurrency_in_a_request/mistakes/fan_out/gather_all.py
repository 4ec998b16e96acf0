"""gather of everything.

Diagnosis: all of them begin at once
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

LIMIT = 10


async def fetch_all(ids: list[int], fetch: Callable[[int], Awaitable[Any]]) -> list[Any]:
    return await asyncio.gather(*(fetch(id) for id in ids))
