"""A check-out that asks for the stock and charges the card. What becomes of the card when the stock fails?"""

import asyncio
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
    async with httpx.AsyncClient(base_url=os.environ["SERVICES_URL"]) as client:
        yield {"client": client}


app = FastAPI(lifespan=lifespan)


async def stock(request: Request) -> None:
    response = await request.state.client.get("/stock")
    response.raise_for_status()


async def charge(request: Request) -> None:
    response = await request.state.client.post("/charge")
    response.raise_for_status()


@app.post("/gather")
async def with_gather(request: Request) -> str:
    await asyncio.gather(stock(request), charge(request))
    return "thank you"


@app.post("/task-group")
async def with_task_group(request: Request) -> str:
    async with asyncio.TaskGroup() as group:
        group.create_task(stock(request))
        group.create_task(charge(request))
    return "thank you"
