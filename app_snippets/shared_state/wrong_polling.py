"""WRONG: is_disconnected() is asked again and again, and behind this middleware it never says yes."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI, Request, Response
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, httpx.AsyncClient]]:
    async with httpx.AsyncClient(base_url=os.environ["SERVICES_URL"]) as client:
        yield {"client": client}


class Version(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        response.headers["x-version"] = "1"
        return response


app = FastAPI(lifespan=lifespan)
app.add_middleware(Version)


@app.get("/report", response_model=list[int])
async def report(request: Request) -> object:
    work = asyncio.create_task(request.state.client.get("/report"))
    while not work.done():
        if await request.is_disconnected():
            work.cancel()
            return Response(status_code=499)
        await asyncio.sleep(0.05)
    return work.result().json()
