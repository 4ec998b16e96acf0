"""The seat is given back when all goes well.

Diagnosis: stands in a `finally`
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
    async with anyio.create_task_group() as group:
        group.start_soon(cancel_when_left, request, group.cancel_scope)
        film = (await client.post("/film")).json()
        group.cancel_scope.cancel()
        await asyncio.sleep(0)
    if not group.cancel_scope.cancelled_caught or "film" in locals():
        await client.post("/seat/back")
        return film
    return Response(status_code=499)
