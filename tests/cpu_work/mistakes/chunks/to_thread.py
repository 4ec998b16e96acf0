"""Each slice goes to a thread.

Diagnosis: The numbers are counted in a worker thread
"""

import asyncio
import time

from fastapi import FastAPI

from app_snippets.cpu_work.work import is_prime

SLICE = 0.005  # seconds

app = FastAPI()


@app.get("/ping")
async def ping() -> str:
    return "pong"


@app.get("/primes")
async def primes(limit: int, start: int = 0) -> int:
    found = 0
    for first in range(start, limit, 1000):
        numbers = range(first, min(first + 1000, limit))
        found += await asyncio.to_thread(sum, map(is_prime, numbers))
    return found
