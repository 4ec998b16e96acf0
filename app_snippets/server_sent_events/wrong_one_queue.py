"""WRONG: all listeners take from one queue, and each event goes to one of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, asyncio.Queue[str]]]:
    yield {"queue": asyncio.Queue()}


app = FastAPI(lifespan=lifespan)


@app.post("/events", status_code=202)
async def publish(text: str, request: Request) -> None:
    await request.state.queue.put(text)


@app.get("/events", response_class=EventSourceResponse)
async def events(request: Request) -> AsyncIterator[ServerSentEvent]:
    while True:
        yield ServerSentEvent(data=await request.state.queue.get())
