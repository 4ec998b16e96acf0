"""The number at the end of a slice is not looked at.

Diagnosis: The count is not right any more
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
    since = time.perf_counter()
    for number in range(start + 1, limit - 3):
        found += is_prime(number)
        if time.perf_counter() - since > SLICE:
            await asyncio.sleep(0)
            since = time.perf_counter()
    return found
