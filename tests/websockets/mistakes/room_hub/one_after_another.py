"""A room is a list, and each send is awaited.

Diagnosis: the room stands still
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
        self.rooms: dict[str, list[WebSocket]] = {}

    def sizes(self) -> dict[str, int]:
        return {room: len(members) for room, members in self.rooms.items()}

    async def serve(self, room: str, websocket: WebSocket) -> None:
        members = self.rooms.setdefault(room, [])
        members.append(websocket)
        try:
            async for text in websocket.iter_text():
                for one in list(members):
                    with suppress(WebSocketDisconnect):
                        await one.send_text(text)
        finally:
            members.remove(websocket)
            if not members:
                del self.rooms[room]


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
