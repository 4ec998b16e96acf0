"""Three calls side by side, with gather and with a TaskGroup."""

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


@app.get("/gather")
async def with_gather(request: Request) -> dict[str, Any]:
    user, orders, news = await asyncio.gather(ask(request, "/user"), ask(request, "/orders"), ask(request, "/news"))
    return {"user": user, "orders": orders, "news": news}


@app.get("/task-group")
async def with_task_group(request: Request) -> dict[str, Any]:
    async with asyncio.TaskGroup() as group:
        user = group.create_task(ask(request, "/user"))
        orders = group.create_task(ask(request, "/orders"))
        news = group.create_task(ask(request, "/news"))
    return {"user": user.result(), "orders": orders.result(), "news": news.result()}
