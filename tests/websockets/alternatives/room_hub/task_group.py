"""The two halves of a client in a task group, and a list of what waits."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect

WAITING = 32  # texts that may wait for one client


class Slow(Exception): ...


class Hub:
    """Who is in which room."""

    def __init__(self) -> None:
        self.members: list[tuple[str, list[str], asyncio.Event]] = []

    def sizes(self) -> dict[str, int]:
        names = [room for room, _, _ in self.members]
        return {name: names.count(name) for name in names}

    async def write(self, websocket: WebSocket, waiting: list[str], news: asyncio.Event) -> None:
        while True:
            await news.wait()
            news.clear()
            while waiting:
                if len(waiting) > WAITING:
                    raise Slow
                async with asyncio.timeout(5):
                    await websocket.send_text(waiting.pop(0))

    async def read(self, websocket: WebSocket, room: str) -> None:
        while True:
            text = await websocket.receive_text()
            for name, waiting, news in self.members:
                if name == room and len(waiting) <= WAITING:
                    waiting.append(text)
                    news.set()

    async def serve(self, room: str, websocket: WebSocket) -> None:
        member = room, [], asyncio.Event()
        self.members.append(member)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.write(websocket, *member[1:]))
                group.create_task(self.read(websocket, room))
        except* WebSocketDisconnect:
            pass
        except* Slow:
            with suppress(TimeoutError, RuntimeError):
                async with asyncio.timeout(5):
                    await websocket.close(1013, "too slow")
        finally:
            self.members.remove(member)


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
