"""Each request builds an asynchronous client.

Diagnosis: builds a new client for each request
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


@app.get("/ping")
async def ping() -> str:
    return "pong"


@app.get("/report")
async def report(request: Request) -> dict[str, int]:
    await asyncio.sleep(0.2)
    async with httpx.AsyncClient(base_url=os.environ["FIGURES_URL"]) as client:
        response = await client.get("/figures")
    return response.json()
