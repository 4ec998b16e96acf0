"""The time of day, where the duration belongs.

Diagnosis: it measures something else
"""

import asyncio
import logging
import re
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.responses import StreamingResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

request_id: ContextVar[str] = ContextVar("request_id", default="-")
log = logging.getLogger("uvicorn.error")


def log_request(path: str, status: int, seconds: float) -> None:
    log.info("request id=%s path=%s status=%s seconds=%.3f", request_id.get(), path, status, seconds)


class RequestId:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        given = Headers(scope=scope).get("x-request-id", "")
        id = given if re.fullmatch(r"[A-Za-z0-9-]{1,64}", given) else uuid.uuid4().hex
        token = request_id.set(id)
        status = 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = id
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        finally:
            log_request(scope["path"], status, time.time())
            request_id.reset(token)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    yield {"greeting": "welcome"}


app = FastAPI(lifespan=lifespan)
app.add_middleware(RequestId)


@app.get("/login")
async def log_in(request: Request, response: Response) -> str:
    for name in ("session", "csrf", "theme"):
        response.set_cookie(name, "1")
    return request.state.greeting


@app.get("/id")
async def read_id() -> str:
    await asyncio.sleep(0.05)
    return request_id.get()


async def rows() -> AsyncIterator[str]:
    for _ in range(3):
        await asyncio.sleep(0.1)
        yield f"row for {request_id.get()}\n"


@app.get("/export")
async def export() -> StreamingResponse:
    return StreamingResponse(rows())


@app.get("/broken")
async def broken() -> None:
    raise RuntimeError("a bug")


@app.websocket("/live")
async def live(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())
