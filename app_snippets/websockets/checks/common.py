"""What the exercises of "WebSockets" are judged with."""

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from workbench.judge import Probe
from workbench.server import LiveServer


@dataclass
class Peer:
    """A client that reads all the while. `closed` is the code of the close, None while the connection is open."""

    socket: ClientConnection
    texts: list[str | bytes] = field(default_factory=list)
    reason: str = ""
    closed: int | None = None

    @property
    def port(self) -> int:
        """The port of this client's end, by which the server's record knows it."""
        return int(self.socket.local_address[1])

    async def read(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                self.texts.append(await self.socket.recv())
        self.closed, self.reason = self.socket.close_code or 1006, self.socket.close_reason or ""

    async def say(self, *texts: str | bytes) -> None:
        """Send, as far as the connection is open."""
        with contextlib.suppress(ConnectionClosed):
            for text in texts:
                await self.socket.send(text)

    def gone(self) -> None:
        """Vanish without a word."""
        self.socket.transport.abort()


@contextlib.asynccontextmanager
async def peer(server: LiveServer, path: str, *, reads: bool = True, **options: Any) -> AsyncIterator[Peer]:
    """Connect to a path of the answer. Where `reads` is False, take next to nothing in.

    Raises NotYet when the answer does not let the client in.
    """
    if not reads:
        small = socket.socket()
        small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        small.connect(("127.0.0.1", server.port))
        options |= {"sock": small, "max_queue": 1}
    common: dict[str, Any] = {
        "proxy": None, "compression": None, "close_timeout": 0.2, "ping_interval": None, "open_timeout": 3,
        "max_size": None,
    }  # fmt: skip
    try:
        connection = await connect(server.ws_url + path, **(common | options))
    except (InvalidHandshake, OSError, EOFError, TimeoutError) as error:
        raise Probe(f"to connect to `{path}`", "a WebSocket").saw(
            f"status {error.response.status_code}" if isinstance(error, InvalidStatus) else type(error).__name__,
            "A client that may come in is refused. "
            + (last_error(server) or "The path must stay as given, and who is in order gets an accept()."),
        ) from None
    made = Peer(connection)
    reading = asyncio.create_task(made.read()) if reads else None
    try:
        yield made
    finally:
        if reading:  # what closes the connection from here on is not the server's doing
            reading.cancel()
            await asyncio.wait({reading})
        connection.transport.abort()


RAISED = re.compile(r"^\w[\w.]*(?:Error|Exception|Disconnect\w*|Group)\b.*", re.MULTILINE)


def errors(server: LiveServer) -> list[str]:
    """What the tracebacks in the server's log end with, the innermost exception of each: "KeyError: 'red'"."""
    return [lines[-1].strip() for lines in map(RAISED.findall, server.errors) if lines]


def last_error(server: LiveServer) -> str:
    """What an endpoint raised last, as a sentence, "" where none did."""
    found = errors(server)
    return f"The endpoint raised {found[-1][:160].rstrip('.')}." if found else ""
