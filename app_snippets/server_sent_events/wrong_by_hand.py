"""WRONG: events written by f-string. A newline in a notice begins a line of its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, list[str]]]:
    yield {"notices": []}


app = FastAPI(lifespan=lifespan)


@app.post("/notices", status_code=201)
async def post(text: str, request: Request) -> None:
    request.state.notices.append(text)


@app.get("/notices")
async def notices(request: Request) -> StreamingResponse:
    async def written() -> AsyncIterator[str]:
        for text in request.state.notices:
            yield f"event: notice\ndata: {text}\n\n"
            await asyncio.sleep(0.01)

    return StreamingResponse(written(), media_type="text/event-stream")
