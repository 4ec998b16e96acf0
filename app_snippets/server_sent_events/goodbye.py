"""The streams hear of SIGTERM in the moment it arrives, say bye and end. Then the server stops."""

import asyncio
import contextlib
import signal
import threading
from collections.abc import AsyncIterator
from types import FrameType

from fastapi import FastAPI, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, asyncio.Event]]:
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    if threading.current_thread() is threading.main_thread():  # elsewhere there are no signals
        for number in (signal.SIGINT, signal.SIGTERM):
            servers_own = signal.getsignal(number)

            def tell(number: int, frame: FrameType | None, then: object = servers_own) -> None:
                loop.call_soon_threadsafe(stopping.set)
                if callable(then):
                    then(number, frame)

            signal.signal(number, tell)
    yield {"stopping": stopping}


app = FastAPI(lifespan=lifespan)


@app.get("/events", response_class=EventSourceResponse)
async def events(request: Request) -> AsyncIterator[ServerSentEvent]:
    while not request.state.stopping.is_set():
        yield ServerSentEvent(data="tick")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(request.state.stopping.wait(), 0.2)
    yield ServerSentEvent(event="bye", data="come back in a moment", retry=500)
