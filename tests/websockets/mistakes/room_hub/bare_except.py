"""The writer catches everything, its own end as well.

Diagnosis: A writer cannot be ended
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

    def publish(self, room: str, text: str) -> None:
        for queue in list(self.rooms.get(room, ())):
            if queue.full():
                self.leave(room, queue)
            else:
                queue.put_nowait(text)

    async def write(self, room: str, queue: asyncio.Queue[str], websocket: WebSocket) -> None:
        while True:
            try:
                while queue in self.rooms.get(room, ()):
                    await websocket.send_text(await queue.get())
                await websocket.close(1013, "too slow")
            except:  # noqa: E722
                await asyncio.sleep(0.01)

    async def serve(self, room: str, websocket: WebSocket) -> None:
        queue = asyncio.Queue[str](WAITING)
        self.rooms.setdefault(room, set()).add(queue)
        writer = asyncio.create_task(self.write(room, queue, websocket))
        try:
            async for text in websocket.iter_text():
                self.publish(room, text)
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
