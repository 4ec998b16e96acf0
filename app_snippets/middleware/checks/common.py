"""What the exercises of "Middleware" are judged with: one call with any headers, and the upgrade of a WebSocket."""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import h11
from fastapi import FastAPI
from starlette.middleware.base import BaseHTTPMiddleware
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, WebSocketException

from workbench.clock import until
from workbench.judge import innermost, place_in_words
from workbench.server import LiveServer
from workbench.server.record import Request

TIMEOUT = 2.0  # seconds for one call
OVER = 1.0  # seconds that a request gets to be over on the server, once its answer has come
NOTHING_SENT = (
    "Nobody raised, and no answer came out: the server made a 500 of it. An `await` is missing where the app or a "
    "response is called, or your `send` keeps the messages that it should pass on."
)


@dataclass
class Answered:
    """One answer, with every header as it was sent, names in lower case."""

    status: int | None = None
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: str = ""
    trouble: str = ""  # why there is no whole answer
    request: Request | None = None

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def one(self, name: str) -> str | None:
        """The value of a header that is there once, else None."""
        values = self.all(name)
        return values[0] if len(values) == 1 else None

    @property
    def error(self) -> BaseException | None:
        return self.request.error if self.request else None

    def __str__(self) -> str:
        if self.status is None:
            return self.trouble
        return f"status {self.status}: `{self.body[:60]}`" + (f", {self.trouble}" if self.trouble else "")


async def call(
    server: LiveServer, path: str, headers: Mapping[str, str | bytes] | None = None, method: str = "GET"
) -> Answered:
    """One call on a connection of its own, with the path and the headers as they are given."""
    answered, port = Answered(), 0
    sent: list[tuple[str, Any]] = [
        ("host", f"127.0.0.1:{server.port}"),
        ("connection", "close"),
        ("content-length", "0"),
    ]
    sent += list((headers or {}).items())
    http = h11.Connection(h11.CLIENT)
    try:
        async with asyncio.timeout(TIMEOUT):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            port = writer.get_extra_info("sockname")[1]
            try:
                writer.write(http.send(h11.Request(method=method, target=path, headers=sent)) or b"")
                writer.write(http.send(h11.EndOfMessage()) or b"")
                await _read(http, reader, answered)
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except TimeoutError:
        answered.trouble = f"no whole answer within {TIMEOUT:g} s"
    except (OSError, EOFError, h11.ProtocolError) as error:
        answered.trouble = f"{type(error).__name__}: {error}"
    mine = [one for one in list(server.record.requests) if one.client_port == port]
    answered.request = mine[-1] if mine else None
    if answered.trouble or (answered.status or 500) >= 500:  # what was raised is known when the answer has gone out
        await over(answered)
    return answered


async def over(answered: Answered) -> None:
    """Wait until the request is over on the server: its answer comes before that."""
    if (request := answered.request) is not None:
        await until(lambda: request.done is not None, OVER)


async def _read(http: h11.Connection, reader: asyncio.StreamReader, answered: Answered) -> None:
    body = bytearray()
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(await reader.read(65536))
        elif isinstance(event, h11.Response):
            answered.status = event.status_code
            answered.headers = [(name.decode(), value.decode("latin-1")) for name, value in event.headers]
        elif isinstance(event, h11.Data):
            body += event.data
            answered.body = body.decode(errors="replace")
        elif isinstance(event, h11.EndOfMessage):
            return
        elif isinstance(event, h11.ConnectionClosed):
            raise EOFError("the server closed the connection")


@dataclass
class Door:
    """What a WebSocket client met: the status of the handshake (101 when let in), and what it was sent."""

    status: int | None = None
    said: str | None = None
    trouble: str = ""

    @property
    def open(self) -> bool:
        return self.status == 101

    def __str__(self) -> str:
        if self.open:
            return "the handshake was accepted" + (f", and `{self.said}` was sent" if self.said else "")
        return f"HTTP {self.status}" if self.status else self.trouble


async def knock(server: LiveServer, path: str, headers: dict[str, str] | None = None, say: str | None = None) -> Door:
    """Open a WebSocket, say something, and take one message."""
    door = Door()
    try:
        async with asyncio.timeout(TIMEOUT), connect(
            server.ws_url + path, additional_headers=headers, proxy=None, close_timeout=0.2
        ) as socket:  # fmt: skip
            door.status = 101
            if say is not None:
                await socket.send(say)
            door.said = str(await socket.recv())
    except TimeoutError:
        door.trouble = f"no answer within {TIMEOUT:g} s"
    except (OSError, WebSocketException, InvalidHandshake) as error:
        response = getattr(error, "response", None)
        door.status = door.status or getattr(response, "status_code", None)
        door.trouble = f"{type(error).__name__}: {error}"
    return door


def has_dispatch(app: Any) -> bool:
    """Whether a BaseHTTPMiddleware is among the layers of an app."""
    while not isinstance(app, FastAPI) and hasattr(app, "app"):
        if isinstance(app, BaseHTTPMiddleware):
            return True
        app = app.app
    layers = getattr(app, "user_middleware", [])
    return any(isinstance(one.cls, type) and issubclass(one.cls, BaseHTTPMiddleware) for one in layers)


def failure(answered: Answered) -> dict[str, str]:
    """`seen` and `diagnosis` of NotYet for an answer that went wrong."""
    error = answered.error
    if error is None and answered.status == 500:
        return {"seen": str(answered), "diagnosis": NOTHING_SENT}
    if error is None:
        return {"seen": str(answered), "diagnosis": "The answer is not what it was without your middleware."}
    named = f"{type(error).__name__}: {str(error)[:160]}".rstrip(": ")
    line = place_in_words(innermost(error.__traceback__))
    return {
        "seen": f"{answered}"[:120] + (f", {line}" if line else ""),
        "diagnosis": f"The request ended with {named}. Fix that first.",
    }
