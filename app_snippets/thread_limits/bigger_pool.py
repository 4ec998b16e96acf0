"""The common pool, made larger when the server starts."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread
from fastapi import FastAPI


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = 100
    yield


app = FastAPI(lifespan=lifespan)


@app.get("/report")
def report() -> str:
    time.sleep(0.5)
    return "ready"


@app.get("/health")
def health() -> str:
    return "healthy"
