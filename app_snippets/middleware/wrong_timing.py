"""WRONG: the timer of every tutorial. It stops the clock when the answer begins, not when it ends."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.responses import StreamingResponse

app = FastAPI()


@app.middleware("http")
async def time_it(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    start = time.perf_counter()
    response = await call_next(request)
    response.headers["x-process-time"] = f"{time.perf_counter() - start:.3f}"
    return response


@app.get("/report")
async def report() -> str:
    await asyncio.sleep(0.8)
    return "ready"


async def rows() -> AsyncIterator[str]:
    for number in range(4):
        await asyncio.sleep(0.2)
        yield f"row {number}\n"


@app.get("/export")
async def export() -> StreamingResponse:
    return StreamingResponse(rows())


@app.websocket("/live")
async def live(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("nobody timed me")
