"""WRONG: slow reports and the health check take their threads from the same forty."""

import threading
from typing import Annotated

import anyio.to_thread
from fastapi import Depends, FastAPI

arrived = threading.Semaphore(0)  # stands for a slow service: one release for each report whose data has arrived
ready: list[str] = []  # the reports that are made

app = FastAPI()


@app.get("/report")
def report() -> str:
    arrived.acquire(timeout=10)
    ready.append("report")
    return "ready"


@app.get("/health")
def health() -> str:
    return "healthy"


def get_version() -> str:
    return "1.0"


@app.get("/health-async")
async def health_async(version: Annotated[str, Depends(get_version)]) -> str:
    return f"healthy, version {version}"


@app.get("/ping")
async def ping() -> str:
    return "pong"


@app.get("/tokens")
async def tokens() -> dict[str, float]:
    used = anyio.to_thread.current_default_thread_limiter().statistics()
    return {"used": used.borrowed_tokens, "waiting": used.tasks_waiting, "ready": len(ready)}
