"""WRONG: a long report is made to its end, whether anybody waits for it or not."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI, Request


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, httpx.AsyncClient]]:
    async with httpx.AsyncClient(base_url=os.environ["SERVICES_URL"]) as client:
        yield {"client": client}


app = FastAPI(lifespan=lifespan)


@app.get("/report")
async def report(request: Request) -> list[int]:
    response = await request.state.client.get("/report")
    return response.json()
