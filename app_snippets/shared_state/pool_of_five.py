"""A pool of five connections, and twenty requests. One endpoint lets in as many as the pool can serve."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, asyncio.Semaphore]]:
    yield {"pool": asyncio.Semaphore(5)}


async def connection(request: Request) -> AsyncIterator[str]:
    """As most pools do, this one raises when nothing is free for a while: here, for 0.3 s."""
    pool = request.state.pool
    try:
        async with asyncio.timeout(0.3):
            await pool.acquire()
    except TimeoutError:
        raise HTTPException(500, "the pool is exhausted") from None
    try:
        yield "connection"
    finally:
        pool.release()


app = FastAPI(lifespan=lifespan)


@app.get("/unlimited")
async def unlimited(connection: Annotated[str, Depends(connection)]) -> None:
    await asyncio.sleep(0.2)  # a query


@app.get("/limited")
async def limited(connection: Annotated[str, Depends(connection, max_concurrency=5)]) -> None:
    await asyncio.sleep(0.2)
