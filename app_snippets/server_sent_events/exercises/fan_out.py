import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Annotated, Any

from fastapi import Body, FastAPI, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

BEHIND = 10  # events that may wait for one listener


# BEGIN SOLUTION
class Hub:
    """Hands each text to all who listen."""

    def __init__(self) -> None:
        self.listeners: set[asyncio.Queue[str]] = set()

    async def publish(self, text: str) -> None:
        for queue in list(self.listeners):
            if queue.full():
                self.listeners.discard(queue)
            else:
                queue.put_nowait(text)

    async def listen(self) -> AsyncIterator[ServerSentEvent]:
        queue = asyncio.Queue[str](BEHIND)
        self.listeners.add(queue)
        try:
            while queue in self.listeners or not queue.empty():
                yield ServerSentEvent(data=await queue.get())
            yield ServerSentEvent(event="lagging", data="you have missed events")
        finally:
            self.listeners.discard(queue)

    # STARTER
    # | class Hub:
    # |     """Hands each text to all who listen."""
    # |
    # |     def __init__(self) -> None:
    # |         self.listeners: set[asyncio.Queue[str]] = set()
    # |         self.queue = asyncio.Queue[str]()
    # |
    # |     async def publish(self, text: str) -> None:
    # |         await self.queue.put(text)
    # |
    # |     async def listen(self) -> AsyncIterator[ServerSentEvent]:
    # |         while True:
    # |             yield ServerSentEvent(data=await self.queue.get())
    # END SOLUTION


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    yield {"hub": Hub()}


app = FastAPI(lifespan=lifespan)


@app.post("/events", status_code=202)
async def publish(text: Annotated[str, Body()], request: Request) -> None:
    await request.state.hub.publish(text)


@app.get("/listeners")
async def listeners(request: Request) -> int:
    return len(request.state.hub.listeners)


@app.get("/events", response_class=EventSourceResponse)
async def events(request: Request) -> AsyncIterator[ServerSentEvent]:
    async with aclosing(request.state.hub.listen()) as events:
        async for event in events:
            yield event
