"""is_disconnected() is asked again and again, behind a BaseHTTPMiddleware.

Diagnosis: is_disconnected() never says yes
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


@app.get("/render")
async def render(request: Request) -> Any:
    client = request.state.client
    await client.post("/seat/take")
    film = asyncio.create_task(client.post("/film"))
    try:
        while not film.done():
            if await request.is_disconnected():
                film.cancel()
                return Response(status_code=499)
            await asyncio.sleep(0.05)
        return film.result().json()
    finally:
        await client.post("/seat/back")
