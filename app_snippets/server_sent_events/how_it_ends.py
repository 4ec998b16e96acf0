"""A stream that stops, one that says so, one that fails, and one that says that, too."""

from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.sse import EventSourceResponse, ServerSentEvent

app = FastAPI()


async def steps(fail: bool = False) -> AsyncIterator[ServerSentEvent]:
    for number in range(1, 4):
        yield ServerSentEvent(id=str(number), data=number, retry=100)
    if fail:
        raise ConnectionError("the printer is on fire")


@app.get("/stops", response_class=EventSourceResponse)
async def stops() -> AsyncIterator[ServerSentEvent]:
    async for step in steps():
        yield step


@app.get("/says-end", response_class=EventSourceResponse)
async def says_end() -> AsyncIterator[ServerSentEvent]:
    async for step in steps():
        yield step
    yield ServerSentEvent(event="end", data="that was all")


@app.get("/fails", response_class=EventSourceResponse)
async def fails() -> AsyncIterator[ServerSentEvent]:
    async for step in steps(fail=True):
        yield step


@app.get("/says-failed", response_class=EventSourceResponse)
async def says_failed() -> AsyncIterator[ServerSentEvent]:
    try:
        async for step in steps(fail=True):
            yield step
    except ConnectionError as error:
        yield ServerSentEvent(event="failed", data=str(error))
