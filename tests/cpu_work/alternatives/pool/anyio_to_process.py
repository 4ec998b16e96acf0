"""AnyIO keeps worker processes of its own."""

import asyncio
import multiprocessing
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from anyio import to_process
from fastapi import FastAPI, Request

from app_snippets.cpu_work.work import count_primes


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    yield {}


app = FastAPI(lifespan=lifespan)


@app.get("/ping")
async def ping() -> str:
    return "pong"


@app.get("/primes")
async def primes(request: Request, limit: int, start: int = 0) -> dict[str, int]:
    await asyncio.sleep(0.01)  # the database, asynchronous
    work = partial(count_primes, limit, start=start)
    return await to_process.run_sync(work)
