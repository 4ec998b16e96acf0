"""The same slow report three ways that leave the loop free."""

import asyncio
import time

from fastapi import FastAPI

app = FastAPI()


def slow_report() -> dict[str, str]:
    """A synchronous function that we cannot change: an old SDK, a driver, a file system."""
    time.sleep(0.2)
    return {"report": "ready"}


@app.get("/ping")
async def ping() -> str:
    return "pong"


@app.get("/awaited")
async def awaited() -> dict[str, str]:
    await asyncio.sleep(0.2)  # an asynchronous library: the loop is free meanwhile
    return {"report": "ready"}


@app.get("/plain-def")
def plain_def() -> dict[str, str]:
    return slow_report()  # FastAPI runs a plain def in a worker thread


@app.get("/to-thread")
async def to_thread() -> dict[str, str]:
    return await asyncio.to_thread(slow_report)  # only this call goes to a thread
