"""The seat is given back inside of the group that is cancelled.

Diagnosis: cancelled itself
"""

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


async def cancel_when_left(request: Request, scope: anyio.CancelScope) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


@app.get("/render")
async def render(request: Request) -> Any:
    client = request.state.client
    await client.post("/seat/take")
    film = None
    async with anyio.create_task_group() as group:
        group.start_soon(cancel_when_left, request, group.cancel_scope)
        try:
            film = (await client.post("/film")).json()
        finally:
            await client.post("/seat/back")
        group.cancel_scope.cancel()
    return film
