"""A chat in rooms, with a page of its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.resources import files
from typing import Annotated

from fastapi import FastAPI, Path, Query, Request, WebSocket
from fastapi.responses import HTMLResponse

from app_snippets.websockets.hub import Hub

PAGE = files("app_snippets.websockets").joinpath("chat.html").read_text(encoding="utf-8")
Name = Annotated[str, Query(min_length=1, max_length=30)]
Room = Annotated[str, Path(max_length=30)]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Hub]]:
    yield {"hub": Hub()}


app = FastAPI(lifespan=lifespan)


@app.get("/", response_class=HTMLResponse)
async def index() -> str:
    return PAGE


@app.get("/rooms")
async def rooms(request: Request) -> dict[str, int]:
    return {room: len(members) for room, members in request.state.hub.rooms.items()}


@app.websocket("/rooms/{room}")
async def chat(websocket: WebSocket, room: Room, name: Name) -> None:
    hub, refused = websocket.state.hub, None
    await websocket.accept()
    async with hub.joined(room, websocket):
        hub.publish(room, f"{name} has joined")
        while not refused and (message := await websocket.receive())["type"] == "websocket.receive":
            if (text := message.get("text")) is None:
                refused = 1003, "text only"
            elif len(text) > 2000:
                refused = 1009, "at most 2,000 characters"
            else:
                hub.publish(room, f"{name}: {text}")
    hub.publish(room, f"{name} has left")
    if refused:
        with suppress(TimeoutError, RuntimeError):
            async with asyncio.timeout(1):
                await websocket.close(*refused)
