"""A limit for the whole app, as limit_concurrency is.

Diagnosis: The limit is for the whole app
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any

import httpx
from fastapi import Depends, FastAPI, HTTPException, Request, Response

AT_WORK = 4  # requests that may ask the service at once
IN_LINE = 4  # requests that may wait for their turn
PATIENCE = 0.4  # seconds that a turn is waited for


@dataclass
class Gate:
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_WORK))


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    async with httpx.AsyncClient(base_url=os.environ["SERVICES_URL"]) as client:
        yield {"client": client, "gate": Gate()}


async def turn(request: Request) -> AsyncIterator[None]:
    async with request.state.gate.turns:
        yield


app = FastAPI(lifespan=lifespan)
inside = 0


@app.middleware("http")
async def limit_concurrency(request: Request, call_next: Any) -> Any:
    global inside
    if inside >= AT_WORK + IN_LINE:
        return Response("too busy", 503, headers={"Retry-After": "1"})
    inside += 1
    try:
        return await call_next(request)
    finally:
        inside -= 1


@app.get("/ping")
async def ping() -> str:
    return "pong"


@app.get("/quote", dependencies=[Depends(turn)])
async def quote(request: Request) -> Any:
    response = await request.state.client.get("/quote")
    if response.status_code != 200:
        raise HTTPException(502, "the service has failed")
    return response.json()
