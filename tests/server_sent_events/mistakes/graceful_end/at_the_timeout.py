"""Speaks when it is cancelled.

Diagnosis: speaks when it is cancelled
"""

import asyncio
import contextlib
import signal
import threading
from collections.abc import AsyncIterator
from types import FrameType
from typing import Any

from fastapi import FastAPI, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

EVERY = 5.0  # seconds between two ticks


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    stopping = asyncio.Event()
    yield {"stopping": stopping}
    stopping.set()


app = FastAPI(lifespan=lifespan)


@app.get("/ping")
async def ping() -> str:
    return "pong"


@app.get("/events", response_class=EventSourceResponse)
async def events(request: Request) -> AsyncIterator[ServerSentEvent]:
    try:
        while True:
            yield ServerSentEvent(data="tick")
            await asyncio.sleep(EVERY)
    except asyncio.CancelledError:
        yield ServerSentEvent(event="bye", data="come back in a moment")
        raise
