"""The same computing in worker threads, and computing that gives the GIL back."""

import asyncio
import hashlib

from fastapi import FastAPI

from app_snippets.cpu_work.work import count_primes

app = FastAPI()


@app.get("/ping")
async def ping() -> str:
    return "pong"


@app.get("/plain-def")
def plain_def(limit: int = 40_000) -> dict[str, int]:
    return count_primes(limit)


@app.get("/to-thread")
async def to_thread(limit: int = 40_000) -> dict[str, int]:
    return await asyncio.to_thread(count_primes, limit)


@app.get("/hash")
def hash_password(password: str = "correct horse", rounds: int = 80_000) -> str:
    return hashlib.pbkdf2_hmac("sha256", password.encode(), b"salt", rounds).hex()  # C code, without the GIL
