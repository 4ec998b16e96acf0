"""WRONG: slow reports and the health check take their threads from the same forty."""

import time
from typing import Annotated

import anyio.to_thread
from fastapi import Depends, FastAPI

app = FastAPI()


@app.get("/report")
def report() -> str:
    time.sleep(0.5)
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
    return {"of": used.total_tokens, "in use": used.borrowed_tokens, "waiting": used.tasks_waiting}
