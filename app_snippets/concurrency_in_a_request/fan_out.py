"""Twenty prices for one page: all at once, and at most five at a time."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypedDict

import httpx
from fastapi import FastAPI, Request


class State(TypedDict):
    client: httpx.AsyncClient


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[State]:
    async with httpx.AsyncClient(base_url=os.environ["SERVICES_URL"]) as client:
        yield {"client": client}


app = FastAPI(lifespan=lifespan)


async def ask(request: Request, path: str) -> Any:
    response = await request.state.client.get(path)
    return response.raise_for_status().json()


@app.get("/all-at-once")
async def all_at_once(request: Request) -> list[Any]:
    return await asyncio.gather(*(ask(request, f"/prices/{number}") for number in range(20)))


@app.get("/five-at-a-time")
async def five_at_a_time(request: Request) -> list[Any]:
    places = asyncio.Semaphore(5)

    async def ask_when_free(path: str) -> Any:
        async with places:
            return await ask(request, path)

    async with asyncio.TaskGroup() as group:
        prices = [group.create_task(ask_when_free(f"/prices/{number}")) for number in range(20)]
    return [price.result() for price in prices]
