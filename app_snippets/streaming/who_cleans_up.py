"""A session that takes a moment to close, opened in three places. Who closes it when the client leaves?"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, Request


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, list[str]]]:
    yield {"log": []}


async def session(request: Request) -> AsyncIterator[list[str]]:
    log = request.state.log
    log.append("opened")
    try:
        yield log
    finally:
        log.append("closing")
        await asyncio.sleep(0.02)
        log.append("closed")


async def rows(log: list[str]) -> AsyncIterator[int]:
    for number in range(10):
        log.append("row")
        yield number
        await asyncio.sleep(2)


app = FastAPI(lifespan=lifespan)


@app.get("/dependency")
async def in_a_dependency(log: Annotated[list[str], Depends(session)]) -> AsyncIterator[int]:
    async for row in rows(log):
        yield row


@app.get("/function-scope")
async def in_function_scope(log: Annotated[list[str], Depends(session, scope="function")]) -> AsyncIterator[int]:
    async for row in rows(log):
        yield row


@app.get("/generator")
async def in_the_generator(request: Request) -> AsyncIterator[int]:
    async with asynccontextmanager(session)(request) as log:
        async for row in rows(log):
            yield row


@app.get("/log")
async def read_log(request: Request) -> list[str]:
    return request.state.log
