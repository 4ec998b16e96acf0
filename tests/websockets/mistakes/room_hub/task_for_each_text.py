"""A task for each text and client.

Diagnosis: A task for each text
"""

# exercise: websockets/room_hub
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect

WAITING = 32  # texts that may wait for one client


class Hub:
    """Who is in which room."""

    def __init__(self) -> None:
        self.rooms: dict[str, set[WebSocket]] = {}
        self.tasks: set[asyncio.Task[None]] = set()

    def sizes(self) -> dict[str, int]:
        return {room: len(members) for room, members in self.rooms.items()}

    async def send(self, websocket: WebSocket, text: str) -> None:
        with suppress(WebSocketDisconnect, RuntimeError):
            await websocket.send_text(text)

    async def serve(self, room: str, websocket: WebSocket) -> None:
        members = self.rooms.setdefault(room, set())
        members.add(websocket)
        try:
            async for text in websocket.iter_text():
                for one in members:
                    task = asyncio.create_task(self.send(one, text))
                    self.tasks.add(task)
                    task.add_done_callback(self.tasks.discard)
        finally:
            members.discard(websocket)
            if not members:
                self.rooms.pop(room, None)


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
