"""The timer as pure ASGI: it sees the answer begin, and it sees it end."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger("uvicorn.error")


class Timing:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # "websocket" and "lifespan" come through here, too
            await self.app(scope, receive, send)
            return
        start = time.perf_counter()

        async def send_timed(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["x-first-byte"] = f"{time.perf_counter() - start:.3f}"
            await send(message)

        try:
            await self.app(scope, receive, send_timed)
        finally:
            log.info("%s took %.3f s", scope["path"], time.perf_counter() - start)


app = FastAPI()
app.add_middleware(Timing)


async def rows() -> AsyncIterator[str]:
    for number in range(4):
        await asyncio.sleep(0.2)
        yield f"row {number}\n"


@app.get("/export")
async def export() -> StreamingResponse:
    return StreamingResponse(rows())
