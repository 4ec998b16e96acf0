"""The work is moved into an async def, and blocks as before.

Diagnosis: Both waits still hold the loop
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
    with httpx.Client(base_url=os.environ["FIGURES_URL"]) as client:
        yield {"client": client}


app = FastAPI(lifespan=lifespan)


@app.get("/ping")
async def ping() -> str:
    return "pong"


async def wait_and_ask(client: httpx.Client) -> dict[str, int]:
    time.sleep(0.2)
    return client.get("/figures").json()


@app.get("/report")
async def report(request: Request) -> dict[str, int]:
    return await wait_and_ask(request.state.client)
