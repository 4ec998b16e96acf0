"""Asks the server that has the handler, again and again, whether it stops."""

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
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    yield {"server": server}


app = FastAPI(lifespan=lifespan)


@app.get("/ping")
async def ping() -> str:
    return "pong"


@app.get("/events", response_class=EventSourceResponse)
async def events(request: Request) -> AsyncIterator[ServerSentEvent]:
    while not getattr(request.state.server, "should_exit", False):
        yield ServerSentEvent(data="tick")
        await asyncio.sleep(0.05)
    yield ServerSentEvent(event="bye", data="come back in a moment")
