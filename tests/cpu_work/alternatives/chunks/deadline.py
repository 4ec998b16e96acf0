"""The loop's own clock, and the end of the slice."""

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
    loop = asyncio.get_running_loop()
    end = loop.time() + SLICE
    for number in range(start, limit):
        found += is_prime(number)
        if loop.time() >= end:
            await asyncio.sleep(0)
            end = loop.time() + SLICE
    return found
