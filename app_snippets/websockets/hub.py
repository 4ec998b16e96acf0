"""A hub of rooms: whoever publishes never waits, and a client that reads too slowly is closed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import WebSocket, WebSocketDisconnect


class Hub:
    def __init__(self, size: int = 64, timeout: float = 10.0) -> None:
        self.size, self.timeout, self.rooms = size, timeout, dict[str, set[asyncio.Queue[str]]]()

    def publish(self, room: str, text: str) -> None:
        for member in list(self.rooms.get(room, ())):
            if member.full():
                self.leave(room, member)  # its writer closes it
            else:
                member.put_nowait(text)

    def leave(self, room: str, member: asyncio.Queue[str]) -> None:
        self.rooms.get(room, set()).discard(member)
        if not self.rooms.get(room):
            self.rooms.pop(room, None)

    @asynccontextmanager
    async def joined(self, room: str, websocket: WebSocket) -> AsyncIterator[asyncio.Queue[str]]:
        member = asyncio.Queue[str](self.size)
        self.rooms.setdefault(room, set()).add(member)
        try:
            async with asyncio.TaskGroup() as group:
                writer = group.create_task(self._write(room, member, websocket))
                yield member
                writer.cancel()
        except* WebSocketDisconnect:
            pass  # the writer's, or the block's own: the end of a client is no error
        finally:
            self.leave(room, member)

    async def _write(self, room: str, member: asyncio.Queue[str], websocket: WebSocket) -> None:
        with suppress(TimeoutError, RuntimeError):  # it stalls, or is closed already
            while member in self.rooms.get(room, ()):
                text = await member.get()
                async with asyncio.timeout(self.timeout):
                    await websocket.send_text(text)
            async with asyncio.timeout(self.timeout):
                await websocket.close(1013, "too slow")
        raise WebSocketDisconnect(1013)  # ends the block, too
