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
    # BEGIN SOLUTION
    async with httpx.AsyncClient(base_url=os.environ["FIGURES_URL"]) as client:
        # STARTER
        # | with httpx.Client(base_url=os.environ["FIGURES_URL"]) as client:
        # END SOLUTION
        yield {"client": client}


app = FastAPI(lifespan=lifespan)


@app.get("/ping")
async def ping() -> str:
    return "pong"


@app.get("/report")
async def report(request: Request) -> dict[str, int]:
    # BEGIN SOLUTION
    await asyncio.sleep(0.2)
    response = await request.state.client.get("/figures")
    # STARTER
    # | time.sleep(0.2)  # a pause, because the service likes one
    # | response = request.state.client.get("/figures")
    # END SOLUTION
    return response.json()
