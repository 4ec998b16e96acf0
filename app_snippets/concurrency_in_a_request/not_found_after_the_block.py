"""The 404 is noted when the group ends, and raised after the block."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypedDict

import httpx
from fastapi import FastAPI, HTTPException, Request


class State(TypedDict):
    client: httpx.AsyncClient


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[State]:
    async with httpx.AsyncClient(base_url=os.environ["SERVICES_URL"]) as client:
        yield {"client": client}


app = FastAPI(lifespan=lifespan)


async def ask(request: Request, path: str) -> Any:
    response = await request.state.client.get(path)
    if response.status_code == 404:
        raise HTTPException(404, "there is no such user")
    return response.raise_for_status().json()


@app.get("/dashboards/{name}")
async def dashboard(request: Request, name: str) -> dict[str, Any]:
    missing = False
    try:
        async with asyncio.TaskGroup() as group:
            user = group.create_task(ask(request, f"/users/{name}"))
            orders = group.create_task(ask(request, "/orders"))
    except* HTTPException:
        missing = True
    if missing:
        raise HTTPException(404, "there is no such user")
    return {"user": user.result(), "orders": orders.result()}
