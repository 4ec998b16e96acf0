"""A bulkhead: reports have twenty threads of their own, and can take no others."""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

import anyio.to_thread
from fastapi import FastAPI, Request

arrived = threading.Semaphore(0)  # stands for a slow service: one release for each report whose data has arrived


class State(TypedDict):
    reports: anyio.CapacityLimiter


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[State]:
    yield {"reports": anyio.CapacityLimiter(20)}


app = FastAPI(lifespan=lifespan)


def slow_report() -> str:
    arrived.acquire(timeout=10)
    return "ready"


@app.get("/report")
async def report(request: Request) -> str:
    return await anyio.to_thread.run_sync(slow_report, limiter=request.state.reports)


@app.get("/health")
def health() -> str:
    return "healthy"


@app.get("/tokens")
async def tokens(request: Request) -> dict[str, float]:
    common, reports = anyio.to_thread.current_default_thread_limiter(), request.state.reports
    return {"common": common.borrowed_tokens, "reports": reports.borrowed_tokens}
