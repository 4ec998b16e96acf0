"""Each listener has a bounded queue of its own. Who falls behind is let go, and told so."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Body, Depends, FastAPI, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

BEHIND = 20  # events that may wait for one listener
Queue = asyncio.Queue[str]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, set[Queue]]]:
    yield {"listeners": set()}


async def subscribed(request: Request) -> AsyncIterator[Queue]:
    queue = Queue(BEHIND)
    request.state.listeners.add(queue)
    try:
        yield queue
    finally:
        request.state.listeners.discard(queue)


app = FastAPI(lifespan=lifespan)


@app.post("/events")
async def publish(text: Annotated[str, Body()], request: Request) -> int:
    for queue in list(request.state.listeners):
        if queue.full():
            request.state.listeners.discard(queue)
        else:
            queue.put_nowait(text)
    return len(request.state.listeners)


@app.get("/events", response_class=EventSourceResponse)
async def events(request: Request, queue: Annotated[Queue, Depends(subscribed)]) -> AsyncIterator[ServerSentEvent]:
    while queue in request.state.listeners or not queue.empty():
        yield ServerSentEvent(data=await queue.get())
    yield ServerSentEvent(event="lagging", data="you have missed events")
