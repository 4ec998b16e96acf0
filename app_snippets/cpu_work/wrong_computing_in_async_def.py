"""WRONG: an async def that computes holds the event loop for as long as it computes."""

from fastapi import FastAPI

from app_snippets.cpu_work.work import count_primes

app = FastAPI()


@app.get("/ping")
async def ping() -> str:
    return "pong"


@app.get("/primes")
async def primes(limit: int = 40_000) -> dict[str, int]:
    return count_primes(limit)
