"""WRONG: a timeout around a thread does not stop the thread."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

import anyio.to_thread
from fastapi import FastAPI, HTTPException, Request

written = threading.Event()  # stands for a slow warehouse: set when it has written what it was sent
at_work: set[int] = set()  # the threads that export now
log: list[tuple[float, float]] = []  # when each export began and ended


class State(TypedDict):
    exports: anyio.CapacityLimiter


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[State]:
    yield {"exports": anyio.CapacityLimiter(2)}


app = FastAPI(lifespan=lifespan)


def export() -> str:
    begun = time.perf_counter()
    at_work.add(threading.get_ident())
    written.wait(timeout=10)
    log.append((begun, time.perf_counter()))
    at_work.discard(threading.get_ident())
    return "exported"


@app.get("/asyncio-timeout")
async def asyncio_timeout(request: Request) -> str:
    try:
        async with asyncio.timeout(0.5):
            return await anyio.to_thread.run_sync(export, limiter=request.state.exports)
    except TimeoutError:
        raise HTTPException(504) from None


@app.get("/fail-after")
async def fail_after(request: Request) -> str:
    try:
        with anyio.fail_after(0.5):
            return await anyio.to_thread.run_sync(export, limiter=request.state.exports)
    except TimeoutError:
        raise HTTPException(504) from None
