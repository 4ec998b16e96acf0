"""One after another.

Diagnosis: each is awaited before the next one begins
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

LIMIT = 10


async def fetch_all(ids: list[int], fetch: Callable[[int], Awaitable[Any]]) -> list[Any]:
    return [await fetch(id) for id in ids]
