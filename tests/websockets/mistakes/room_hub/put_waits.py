"""To put a text into a full queue waits.

Diagnosis: put() waits when a queue is full
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect

WAITING = 32  # texts that may wait for one client


class Hub:
    """Who is in which room."""

    def __init__(self) -> None:
        self.rooms: dict[str, set[asyncio.Queue[str]]] = {}

    def sizes(self) -> dict[str, int]:
        return {room: len(queues) for room, queues in self.rooms.items()}

    def leave(self, room: str, queue: asyncio.Queue[str]) -> None:
        self.rooms.get(room, set()).discard(queue)
        if not self.rooms.get(room):
            self.rooms.pop(room, None)

    async def publish(self, room: str, text: str) -> None:
        for queue in list(self.rooms.get(room, ())):
            await queue.put(text)

    async def write(self, room: str, queue: asyncio.Queue[str], websocket: WebSocket) -> None:
        with suppress(WebSocketDisconnect, TimeoutError, RuntimeError):
            while queue in self.rooms.get(room, ()):
                text = await queue.get()
                async with asyncio.timeout(5):
                    await websocket.send_text(text)
            async with asyncio.timeout(5):
                await websocket.close(1013, "too slow")

    async def serve(self, room: str, websocket: WebSocket) -> None:
        queue = asyncio.Queue[str](WAITING)
        self.rooms.setdefault(room, set()).add(queue)
        writer = asyncio.create_task(self.write(room, queue, websocket))
        try:
            async for text in websocket.iter_text():
                await self.publish(room, text)
        finally:
            writer.cancel()
            self.leave(room, queue)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    yield {"hub": Hub()}


app = FastAPI(lifespan=lifespan)


@app.get("/rooms")
async def sizes(request: Request) -> dict[str, int]:
    return request.state.hub.sizes()


@app.websocket("/rooms/{room}")
async def talk(websocket: WebSocket, room: str) -> None:
    await websocket.accept()
    await websocket.state.hub.serve(room, websocket)
