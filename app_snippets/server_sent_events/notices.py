"""The same notices as native server-sent events."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, list[str]]]:
    yield {"notices": []}


app = FastAPI(lifespan=lifespan)


@app.post("/notices", status_code=201)
async def post(text: str, request: Request) -> None:
    request.state.notices.append(text)


@app.get("/notices", response_class=EventSourceResponse)
async def notices(request: Request) -> AsyncIterator[ServerSentEvent]:
    for text in request.state.notices:
        yield ServerSentEvent(event="notice", data=text)
        await asyncio.sleep(0.01)
