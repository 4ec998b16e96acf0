"""WRONG: the streams are told in the lifespan, and its end comes after them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, asyncio.Event]]:
    stopping = asyncio.Event()
    yield {"stopping": stopping}
    stopping.set()


app = FastAPI(lifespan=lifespan)


@app.get("/events", response_class=EventSourceResponse)
async def events(request: Request) -> AsyncIterator[ServerSentEvent]:
    while not request.state.stopping.is_set():
        yield ServerSentEvent(data="tick")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(request.state.stopping.wait(), 0.2)
    yield ServerSentEvent(event="bye", data="come back in a moment", retry=500)
