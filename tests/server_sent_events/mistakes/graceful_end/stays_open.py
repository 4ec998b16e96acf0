"""Says bye, and the stream stays open.

Diagnosis: end the stream after it
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
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    if threading.current_thread() is threading.main_thread():
        servers_own = signal.getsignal(signal.SIGTERM)

        def tell(number: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(stopping.set)
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
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(request.state.stopping.wait(), EVERY)
    yield ServerSentEvent(event="bye", data="come back in a moment")
    await asyncio.sleep(EVERY)
