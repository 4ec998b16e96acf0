"""WRONG: three calls that need nothing from each other wait for each other, in two ways."""

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


@app.get("/one-by-one")
async def one_by_one(request: Request) -> dict[str, Any]:
    user = await ask(request, "/user")
    orders = await ask(request, "/orders")
    news = await ask(request, "/news")
    return {"user": user, "orders": orders, "news": news}


@app.get("/coroutines")
async def coroutines(request: Request) -> dict[str, Any]:
    user = ask(request, "/user")
    orders = ask(request, "/orders")
    news = ask(request, "/news")
    return {"user": await user, "orders": await orders, "news": await news}
