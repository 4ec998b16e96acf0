"""time.sleep(0) instead of an awaited pause.

Diagnosis: gives the processor to another thread
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
    for number in range(start, limit):
        found += is_prime(number)
        if time.perf_counter() - since > SLICE:
            time.sleep(0)
            since = time.perf_counter()
    return found
