"""The same synchronous call, with a thread from three different places."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

import anyio.to_thread
from fastapi import FastAPI, Request


class State(TypedDict):
    reports: anyio.CapacityLimiter


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[State]:
    yield {"reports": anyio.CapacityLimiter(100)}


app = FastAPI(lifespan=lifespan)


def slow_report() -> str:
    time.sleep(0.2)  # an old SDK, a driver, a file system
    return "ready"


@app.get("/to-thread")
async def to_thread_of_asyncio() -> str:
    return await asyncio.to_thread(slow_report)


@app.get("/plain-def")
def plain_def() -> str:
    return slow_report()


@app.get("/own-limiter")
async def own_limiter(request: Request) -> str:
    return await anyio.to_thread.run_sync(slow_report, limiter=request.state.reports)
