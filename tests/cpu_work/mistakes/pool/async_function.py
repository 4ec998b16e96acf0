"""An async def is sent to the worker.

Diagnosis: A worker was given an `async def`
"""

import asyncio
import multiprocessing
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from fastapi import FastAPI, Request

from app_snippets.cpu_work.work import count_primes


async def work(limit: int, start: int) -> dict[str, int]:
    return count_primes(limit, start=start)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield {"pool": pool}


app = FastAPI(lifespan=lifespan)


@app.get("/ping")
async def ping() -> str:
    return "pong"


@app.get("/primes")
async def primes(request: Request, limit: int, start: int = 0) -> dict[str, int]:
    await asyncio.sleep(0.01)  # the database, asynchronous
    return await asyncio.get_running_loop().run_in_executor(request.state.pool, work, limit, start)
