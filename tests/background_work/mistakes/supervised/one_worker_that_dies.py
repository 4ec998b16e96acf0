"""A worker takes jobs from a queue, and dies of the first failure.

Diagnosis: the failure ended what runs them
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request

logger = logging.getLogger("jobs")

DRAIN = 0.5  # seconds that running jobs get when the server stops


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    queue: asyncio.Queue[Coroutine[Any, Any, None]] = asyncio.Queue()

    async def work() -> None:
        while True:
            await (await queue.get())

    worker = asyncio.create_task(work())
    yield {"start": queue.put_nowait}
    worker.cancel()


app = FastAPI(lifespan=lifespan)


async def remind(address: str) -> None:
    await asyncio.sleep(0.2)
    logger.warning("a reminder for %s", address)


@app.post("/remind/{address}", status_code=202)
async def remind_later(address: str, request: Request) -> str:
    request.state.start(remind(address))
    return "on its way"
