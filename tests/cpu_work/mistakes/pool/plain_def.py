"""The handler is a plain def.

Diagnosis: A plain `def` moves the computing to a thread of the server
"""

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
    yield {}


app = FastAPI(lifespan=lifespan)


@app.get("/ping")
async def ping() -> str:
    return "pong"


@app.get("/primes")
def primes(request: Request, limit: int, start: int = 0) -> dict[str, int]:
    time.sleep(0.01)  # the database
    return count_primes(limit, start=start)
