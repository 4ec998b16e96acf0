"""A turn that is taken is never given back.

Diagnosis: A turn that is taken must be given back
"""

# exercise: shared_state/shed
import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any

import httpx
from fastapi import Depends, FastAPI, HTTPException, Request

AT_WORK = 4  # requests that may ask the service at once
IN_LINE = 4  # requests that may wait for their turn
PATIENCE = 0.4  # seconds that a turn is waited for


@dataclass
class Gate:
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_WORK))
    inside: int = 0


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    async with httpx.AsyncClient(base_url=os.environ["SERVICES_URL"]) as client:
        yield {"client": client, "gate": Gate()}


def busy() -> HTTPException:
    return HTTPException(503, "too busy", headers={"Retry-After": "1"})


async def turn(request: Request) -> AsyncIterator[None]:
    gate = request.state.gate
    if gate.inside >= AT_WORK + IN_LINE:
        raise busy()
    gate.inside += 1
    try:
        try:
            async with asyncio.timeout(PATIENCE):
                await gate.turns.acquire()
        except TimeoutError:
            raise busy() from None
        yield
    finally:
        gate.inside -= 1


app = FastAPI(lifespan=lifespan)


@app.get("/ping")
async def ping() -> str:
    return "pong"


@app.get("/quote", dependencies=[Depends(turn)])
async def quote(request: Request) -> Any:
    response = await request.state.client.get("/quote")
    if response.status_code != 200:
        raise HTTPException(502, "the service has failed")
    return response.json()
