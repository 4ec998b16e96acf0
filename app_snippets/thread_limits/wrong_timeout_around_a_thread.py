"""WRONG: a timeout around a thread does not stop the thread."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

import anyio.to_thread
from fastapi import FastAPI, HTTPException, Request


class State(TypedDict):
    exports: anyio.CapacityLimiter
    log: list[tuple[float, float]]  # when each export began and ended


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[State]:
    yield {"exports": anyio.CapacityLimiter(2), "log": []}


app = FastAPI(lifespan=lifespan)


def export(log: list[tuple[float, float]]) -> str:
    begun = time.perf_counter()
    time.sleep(0.4)
    log.append((begun, time.perf_counter()))
    return "exported"


@app.get("/asyncio-timeout")
async def asyncio_timeout(request: Request) -> str:
    try:
        async with asyncio.timeout(0.1):
            return await anyio.to_thread.run_sync(export, request.state.log, limiter=request.state.exports)
    except TimeoutError:
        raise HTTPException(504) from None


@app.get("/fail-after")
async def fail_after(request: Request) -> str:
    try:
        with anyio.fail_after(0.1):
            return await anyio.to_thread.run_sync(export, request.state.log, limiter=request.state.exports)
    except TimeoutError:
        raise HTTPException(504) from None


@app.get("/log")
async def read_log(request: Request) -> list[tuple[float, float]]:
    return request.state.log
