"""Ten are let in, five of them at work. Everybody else is told at once to come again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request


@dataclass
class Gate:
    room: int = 10
    inside: int = 0
    places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(5))


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Gate]]:
    yield {"gate": Gate()}


async def admitted(request: Request) -> AsyncIterator[Gate]:
    gate = request.state.gate
    if gate.inside >= gate.room:
        raise HTTPException(503, "too busy", headers={"Retry-After": "1"})
    gate.inside += 1
    try:
        yield gate
    finally:
        gate.inside -= 1


app = FastAPI(lifespan=lifespan)


@app.get("/search")
async def search(gate: Annotated[Gate, Depends(admitted)]) -> str:
    async with gate.places:
        await asyncio.sleep(0.2)
    return "found"
