"""No task: the loop calls a function again and again."""

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

    def __post_init__(self) -> None:
        self.handle: asyncio.TimerHandle | None = None


def watch(lag: Lag, due: float) -> None:
    """Note how late it is, and ask the loop to be called again."""
    loop = asyncio.get_running_loop()
    lag.longest = max(lag.longest, loop.time() - due)
    lag.handle = loop.call_later(INTERVAL, watch, lag, loop.time() + INTERVAL)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    lag = Lag()
    watch(lag, asyncio.get_running_loop().time())
    yield {"lag": lag}
    lag.handle.cancel()


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
