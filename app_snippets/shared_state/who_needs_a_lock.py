"""The same step in three places: on the loop without an await, in threads, and in threads with a lock."""

import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, object]]:
    yield {"sold": {"loop": 0, "threads": 0, "locked": 0}, "lock": threading.Lock()}


app = FastAPI(lifespan=lifespan)


def sell(sold: dict[str, int], where: str) -> None:
    number = sold[where] + 1
    time.sleep(0.02)  # something that takes a moment, and awaits nothing
    sold[where] = number


@app.get("/loop")
async def on_the_loop(request: Request) -> None:
    sell(request.state.sold, "loop")


@app.get("/threads")
def in_threads(request: Request) -> None:
    sell(request.state.sold, "threads")


@app.get("/locked")
def in_threads_with_a_lock(request: Request) -> None:
    with request.state.lock:
        sell(request.state.sold, "locked")


@app.get("/sold")
async def sold(request: Request) -> dict[str, int]:
    return request.state.sold
