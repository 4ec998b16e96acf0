"""WRONG: a plain generator opens the session. When the client leaves, nobody tells it."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, list[str]]]:
    yield {"log": []}


app = FastAPI(lifespan=lifespan)


@app.get("/plain")
def plain(request: Request) -> Iterator[int]:
    log = request.state.log
    log.append("opened")
    try:
        for number in range(10):
            yield number
            time.sleep(0.3)
    finally:
        log.append("closed")


@app.get("/log")
async def read_log(request: Request) -> list[str]:
    return request.state.log
