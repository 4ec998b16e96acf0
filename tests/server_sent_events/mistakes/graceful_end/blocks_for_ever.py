"""A wait that holds the loop for good.

Diagnosis: in a way that holds the loop
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
    stopping = threading.Event()
    if threading.current_thread() is threading.main_thread():
        servers_own = signal.getsignal(signal.SIGTERM)

        def tell(number: int, frame: FrameType | None) -> None:
            stopping.set()
            if callable(servers_own):
                servers_own(number, frame)

        signal.signal(signal.SIGTERM, tell)
    yield {"stopping": stopping}


app = FastAPI(lifespan=lifespan)


@app.get("/ping")
async def ping() -> str:
    return "pong"


@app.get("/events", response_class=EventSourceResponse)
async def events(request: Request) -> AsyncIterator[ServerSentEvent]:
    while not request.state.stopping.is_set():
        yield ServerSentEvent(data="tick")
        request.state.stopping.wait()
    yield ServerSentEvent(event="bye", data="come back in a moment")
