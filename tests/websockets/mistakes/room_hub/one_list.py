"""One list for all rooms.

Diagnosis: What is said in one room is heard in the other
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
        self.connections: list[WebSocket] = []

    def sizes(self) -> dict[str, int]:
        return {"everybody": len(self.connections)}

    async def serve(self, room: str, websocket: WebSocket) -> None:
        """Hand on what this client says, until it leaves."""
        self.connections.append(websocket)
        try:
            while True:
                text = await websocket.receive_text()
                for connection in self.connections:
                    await connection.send_text(text)
        except WebSocketDisconnect:
            self.connections.remove(websocket)


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
