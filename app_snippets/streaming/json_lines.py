"""JSON Lines: an endpoint that yields. Each item is validated, written and sent when it is there."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class Reading(BaseModel):
    sensor: str
    celsius: float


async def measured() -> AsyncIterator[Any]:
    """What the sensors say: one reading each 0.2 s, with a field that is none of the caller's business."""
    for number in range(5):
        yield {"sensor": f"S{number}", "celsius": 20 + number / 2, "password": "hunter2"}
        await asyncio.sleep(0.2)


@app.get("/list")
async def as_list() -> list[Reading]:
    return [reading async for reading in measured()]


@app.get("/lines")
async def as_lines() -> AsyncIterator[Reading]:
    async for reading in measured():
        yield reading


@app.get("/as-they-are")
async def as_they_are() -> AsyncIterator[dict[str, Any]]:
    async for reading in measured():
        yield reading
