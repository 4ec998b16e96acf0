"""A coroutine that never pauses is awaited.

Diagnosis: Nothing in the computation gives the loop back
"""

import asyncio
import time

from fastapi import FastAPI

from app_snippets.cpu_work.work import is_prime

SLICE = 0.005  # seconds

app = FastAPI()


async def check(number: int) -> bool:
    return is_prime(number)


@app.get("/ping")
async def ping() -> str:
    return "pong"


@app.get("/primes")
async def primes(limit: int, start: int = 0) -> int:
    found = 0
    for number in range(start, limit):
        found += await check(number)
    return found
