"""A fork server, and shutdown in a finally."""

import asyncio
import multiprocessing
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from fastapi import FastAPI, Request

from app_snippets.cpu_work.work import count_primes


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    pool = ProcessPoolExecutor(mp_context=multiprocessing.get_context("forkserver"))
    try:
        yield {"pool": pool}
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


app = FastAPI(lifespan=lifespan)


@app.get("/ping")
async def ping() -> str:
    return "pong"


@app.get("/primes")
async def primes(request: Request, limit: int, start: int = 0) -> dict[str, int]:
    await asyncio.sleep(0.01)  # the database, asynchronous
    work = partial(count_primes, limit, start=start)
    return await asyncio.get_running_loop().run_in_executor(request.state.pool, work)
