"""The loop gets one turn, before the work.

Diagnosis: The loop gets one turn, or a few
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
    await asyncio.sleep(0)
    for number in range(start, limit):
        found += is_prime(number)
    return found
