"""A plain def may wait for the worker: its thread only waits."""

import asyncio
import multiprocessing
import time
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from fastapi import FastAPI, Request

from app_snippets.cpu_work.work import count_primes


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield {"pool": pool}


app = FastAPI(lifespan=lifespan)


@app.get("/ping")
async def ping() -> str:
    return "pong"


@app.get("/primes")
def primes(request: Request, limit: int, start: int = 0) -> dict[str, int]:
    time.sleep(0.01)  # the database
    return request.state.pool.submit(count_primes, limit, start=start).result()
