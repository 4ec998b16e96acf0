"""The computing in worker processes: one pool, opened with the server and closed with it."""

import asyncio
import multiprocessing
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from typing import TypedDict

from fastapi import FastAPI, Request

from app_snippets.cpu_work.work import count_primes

WORKERS = 2


class State(TypedDict):
    pool: ProcessPoolExecutor


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[State]:
    spawn = multiprocessing.get_context("spawn")  # fresh processes, no copies of a server with threads
    with ProcessPoolExecutor(WORKERS, mp_context=spawn) as pool:
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(pool, count_primes, 10) for _ in range(WORKERS)))  # warm up
        yield {"pool": pool}


app = FastAPI(lifespan=lifespan)


@app.get("/ping")
async def ping() -> str:
    return "pong"


@app.get("/primes")
async def primes(request: Request, limit: int = 40_000) -> dict[str, int]:
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(request.state.pool, count_primes, limit)
