"""A budget for each part, and one budget for all of them: what is left of the dashboard when the news are slow?"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypedDict

import httpx
from fastapi import FastAPI, HTTPException, Request

BUDGET = 1.0  # seconds


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


@app.get("/one-for-all")
async def one_for_all(request: Request) -> dict[str, Any]:
    try:
        async with asyncio.timeout(BUDGET), asyncio.TaskGroup() as group:
            user = group.create_task(ask(request, "/user"))
            news = group.create_task(ask(request, "/news"))
    except TimeoutError:
        raise HTTPException(504) from None
    return {"user": user.result(), "news": news.result()}


async def news_in_time(request: Request) -> Any:
    try:
        async with asyncio.timeout(BUDGET):
            return await ask(request, "/news")
    except TimeoutError:
        return []


@app.get("/one-each")
async def one_each(request: Request) -> dict[str, Any]:
    async with asyncio.TaskGroup() as group:
        user = group.create_task(ask(request, "/user"))
        news = group.create_task(news_in_time(request))
    return {"user": user.result(), "news": news.result()}
