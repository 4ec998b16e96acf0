"""The common pool, made larger when the server starts."""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread
from fastapi import FastAPI

arrived = threading.Semaphore(0)  # stands for a slow service: one release for each report whose data has arrived


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = 100
    yield


app = FastAPI(lifespan=lifespan)


@app.get("/report")
def report() -> str:
    arrived.acquire(timeout=10)
    return "ready"


@app.get("/health")
def health() -> str:
    return "healthy"


@app.get("/tokens")
async def tokens() -> dict[str, float]:
    used = anyio.to_thread.current_default_thread_limiter().statistics()
    return {"used": used.borrowed_tokens, "waiting": used.tasks_waiting}
