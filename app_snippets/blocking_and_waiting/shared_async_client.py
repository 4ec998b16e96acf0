"""One asynchronous client, opened once and shared by all requests."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

import httpx
from fastapi import FastAPI, Request


class State(TypedDict):
    client: httpx.AsyncClient


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[State]:
    async with httpx.AsyncClient(base_url=os.environ["FIGURES_URL"]) as client:
        yield {"client": client}


app = FastAPI(lifespan=lifespan)


@app.get("/ping")
async def ping() -> str:
    return "pong"


@app.get("/report")
async def report(request: Request) -> dict[str, int]:
    response = await request.state.client.get("/figures")
    return response.json()
