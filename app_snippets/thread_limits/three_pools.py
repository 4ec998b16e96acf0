"""The same synchronous call, with a thread from three different places."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

import anyio.to_thread
from fastapi import FastAPI, Request

arrived = threading.Semaphore(0)  # stands for a slow service: one release for each report whose data has arrived
at_work: set[int] = set()  # the threads that make a report now


class State(TypedDict):
    reports: anyio.CapacityLimiter


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[State]:
    yield {"reports": anyio.CapacityLimiter(100)}


app = FastAPI(lifespan=lifespan)


def slow_report() -> str:
    at_work.add(threading.get_ident())
    arrived.acquire(timeout=10)  # an old SDK, a driver, a file system
    at_work.discard(threading.get_ident())
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
