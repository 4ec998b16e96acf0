"""A lock lets one report in at a time.

Diagnosis: something lets only a few of them in
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI, Request


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    async with httpx.AsyncClient(base_url=os.environ["FIGURES_URL"]) as client:
        yield {"client": client}


app = FastAPI(lifespan=lifespan)
one_at_a_time = asyncio.Lock()


@app.get("/ping")
async def ping() -> str:
    return "pong"


@app.get("/report")
async def report(request: Request) -> dict[str, int]:
    await asyncio.sleep(0.2)
    async with one_at_a_time:
        response = await request.state.client.get("/figures")
    return response.json()
