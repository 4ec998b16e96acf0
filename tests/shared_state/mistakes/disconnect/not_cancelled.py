"""The handler stops to wait, and the task goes on.

Diagnosis: a task that nobody has cancelled
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


async def left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


@app.get("/render")
async def render(request: Request) -> Any:
    client = request.state.client
    await client.post("/seat/take")
    film = asyncio.create_task(client.post("/film"))
    leaving = asyncio.create_task(left(request))
    try:
        await asyncio.wait({film, leaving}, return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        return film.result().json() if film.done() else Response(status_code=499)
    finally:
        await client.post("/seat/back")
