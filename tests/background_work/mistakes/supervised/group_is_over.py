"""The group ends before the yield.

Diagnosis: over before the first request came
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request

logger = logging.getLogger("jobs")

DRAIN = 0.5  # seconds that running jobs get when the server stops


async def supervised(job: Coroutine[Any, Any, None]) -> None:
    try:
        await job
    except Exception:
        logger.exception("a job failed")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    def start(job: Coroutine[Any, Any, None]) -> None:
        group.create_task(supervised(job))

    async with asyncio.TaskGroup() as group:
        pass
    yield {"start": start}


app = FastAPI(lifespan=lifespan)


async def remind(address: str) -> None:
    await asyncio.sleep(0.2)
    logger.warning("a reminder for %s", address)


@app.post("/remind/{address}", status_code=202)
async def remind_later(address: str, request: Request) -> str:
    request.state.start(remind(address))
    return "on its way"
