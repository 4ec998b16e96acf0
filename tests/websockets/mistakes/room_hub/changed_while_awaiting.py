"""A room changes while somebody goes through it.

Diagnosis: A room was changed while somebody went through it
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
        self.rooms: dict[str, set[WebSocket]] = {}

    def sizes(self) -> dict[str, int]:
        return {room: len(members) for room, members in self.rooms.items()}

    def leave(self, room: str, websocket: WebSocket) -> None:
        self.rooms.get(room, set()).discard(websocket)
        if not self.rooms.get(room):
            self.rooms.pop(room, None)

    async def serve(self, room: str, websocket: WebSocket) -> None:
        self.rooms.setdefault(room, set()).add(websocket)
        try:
            async for text in websocket.iter_text():
                for member in self.rooms[room]:
                    try:
                        async with asyncio.timeout(0.2):
                            await member.send_text(text)
                    except TimeoutError:
                        self.leave(room, member)
        finally:
            self.leave(room, websocket)


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
