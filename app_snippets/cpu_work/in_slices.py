"""Computing on the loop in slices: after each of them, everybody else gets a turn."""

import asyncio

from fastapi import FastAPI

from app_snippets.cpu_work.work import is_prime

app = FastAPI()


@app.get("/ping")
async def ping() -> str:
    return "pong"


@app.get("/primes")
async def primes(limit: int = 40_000, per_slice: int = 1_000) -> int:
    found = 0
    for number in range(limit):
        found += is_prime(number)
        if (number + 1) % per_slice == 0:
            await asyncio.sleep(0)  # the loop's turn
    return found
