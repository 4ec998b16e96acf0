"""An asyncio.TaskGroup, whose watcher raises."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
from fastapi import FastAPI, Request, Response
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    async with httpx.AsyncClient(base_url=os.environ["SERVICES_URL"]) as client:
        yield {"client": client}


class Version(BaseHTTPMiddleware):
    """It stays, and so does its place."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        response.headers["x-version"] = "1"
        return response


app = FastAPI(lifespan=lifespan)
app.add_middleware(Version)


class Left(Exception):
    pass


async def watch(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    raise Left


@app.get("/render")
async def render(request: Request) -> Any:
    client = request.state.client
    await client.post("/seat/take")
    try:
        async with asyncio.TaskGroup() as group:
            watcher = group.create_task(watch(request))
            film = (await client.post("/film")).json()
            watcher.cancel()
    except* Left:
        pass
    finally:
        await client.post("/seat/back")
    if watcher.cancelled():
        return film
    return Response(status_code=499)
