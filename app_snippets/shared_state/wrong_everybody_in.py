"""WRONG: everybody is let in, and waits for as long as it takes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, asyncio.Semaphore]]:
    yield {"places": asyncio.Semaphore(5)}


app = FastAPI(lifespan=lifespan)


@app.get("/search")
async def search(request: Request) -> str:
    async with request.state.places:  # the index can take five searches at once
        await asyncio.sleep(0.2)
    return "found"
