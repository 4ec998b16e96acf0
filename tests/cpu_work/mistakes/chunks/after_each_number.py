"""A pause after each number.

Diagnosis: Each time costs a whole turn of the loop
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
    for number in range(start, limit):
        found += is_prime(number)
        await asyncio.sleep(0)
    return found
