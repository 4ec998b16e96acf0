"""The synchronous client, called in a thread."""

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
    with httpx.Client(base_url=os.environ["FIGURES_URL"]) as client:
        yield {"client": client}


app = FastAPI(lifespan=lifespan)


@app.get("/ping")
async def ping() -> str:
    return "pong"


@app.get("/report")
async def report(request: Request) -> dict[str, int]:
    await asyncio.sleep(0.2)
    response = await asyncio.to_thread(request.state.client.get, "/figures")
    return response.json()
