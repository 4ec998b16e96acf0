"""WRONG at /by-hand: what is cancelled between acquire and release never gives the lock back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException, Request


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, asyncio.Lock]]:
    yield {"by_hand": asyncio.Lock(), "with_block": asyncio.Lock()}


app = FastAPI(lifespan=lifespan)


@app.get("/by-hand")
async def by_hand(request: Request, seconds: float) -> str:
    try:
        async with asyncio.timeout(0.6):
            await request.state.by_hand.acquire()
            await asyncio.sleep(seconds)  # the work that the lock is for
            request.state.by_hand.release()
    except TimeoutError:
        raise HTTPException(504) from None
    return "done"


@app.get("/with-block")
async def with_block(request: Request, seconds: float) -> str:
    try:
        async with asyncio.timeout(0.6), request.state.with_block:
            await asyncio.sleep(seconds)
    except TimeoutError:
        raise HTTPException(504) from None
    return "done"
