"""The lag is kept in milliseconds.

Diagnosis: answers in seconds
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request

INTERVAL = 0.1


@dataclass
class Lag:
    longest: float = 0.0  # seconds


async def watch(lag: Lag) -> None:
    """Sleep INTERVAL seconds again and again; keep the longest delay beyond it in lag.longest."""
    while True:
        start = time.perf_counter()
        await asyncio.sleep(INTERVAL)
        lag.longest = max(lag.longest, (time.perf_counter() - start - INTERVAL) * 1000)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    lag = Lag()
    task = asyncio.create_task(watch(lag))
    yield {"lag": lag}
    task.cancel()


app = FastAPI(lifespan=lifespan)


@app.get("/lag")
async def read_lag(request: Request) -> Lag:
    return request.state.lag


@app.get("/ok")
async def ok() -> str:
    await asyncio.sleep(0.25)
    return "ok"


@app.get("/bad")
async def bad() -> str:
    time.sleep(0.25)
    return "bad"
