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

from workbench.clock import until
from workbench.judge import (
    FILE,
    Probe,
    place_in_words,
    quoted,
    tasks_of_the_cell,
    threads_in_the_cell,
    where_it_is,
)
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
            + (
                last_error(server)
                or (
                    "It was closed before accept(), or its path is another. A message comes only after accept()."
                    if isinstance(error, InvalidStatus) and error.response.status_code == 403
                    else "The path must stay as given, and who is in order gets an accept()."
                )
            ),
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


RAISED = re.compile(r"^[ |]*(\w[\w.]*(?:Error|Exception|Disconnect\w*|Group|QueueFull|QueueEmpty)\b.*)", re.MULTILINE)


def errors_in(entry: str) -> list[str]:
    """What the tracebacks in an entry of the log end with, the innermost exception last: "KeyError: 'red'"."""
    return [line.strip() for line in RAISED.findall(entry)]


def errors(server: LiveServer) -> list[str]:
    """The innermost exception of each entry of the server's log that has a traceback."""
    return [found[-1] for found in map(errors_in, server.errors) if found]


def last_error(server: LiveServer) -> str:
    """What an endpoint raised last, as a sentence, "" where none did."""
    found = errors(server)
    return f"The endpoint raised {found[-1][:160].rstrip('.')}." if found else ""


def why_failed(error: str) -> str:
    """An entry of the log that has a traceback, in words of the mistake."""
    of_a_task = re.search(r"never retrieved\n.*coro=<(?:\w+\.)*(\w+)\(\)", error)
    raised = errors_in(error)[-1][:160].rstrip(".")
    if of_a_task and ("Disconnect" in raised or "close message" in raised):
        return (
            f"The task `{of_a_task[1]}` was still running when its client had gone, and its next send failed. A "
            "finally with cancel() ends the task, however the client leaves."
        )
    if of_a_task:
        return f"The task `{of_a_task[1]}` ended with {raised}, and nobody looked at it. Fix that first."
    *_, last = error.split("During handling of the above exception")
    if last != error and "Disconnect" in raised and ".close(" in last:
        return (
            f"That the client had left was caught, and then {line_of(last)} raised: there is nobody left to close. "
            "Close where a message was wrong or did not come; after a WebSocketDisconnect, return."
        )
    if "Disconnect" in raised and re.search(r"in (receive_\w+|_raise_on_disconnect)\n", last):
        return (
            "receive_text() raises WebSocketDisconnect when its client has left, and nobody catches it: each client "
            "that leaves is an error in the log. Catch it, or read with `async for text in websocket.iter_text()`."
        )
    if "close message" in raised:
        return f"After its close(), the handler went on, and sent once more: {line_of(error)}. After a close, return."
    if "Disconnect" in raised:
        return (
            f"After its client had left, the handler went on and sent to it ({line_of(error)}), which fails. When a "
            "client has left, return."
        )
    return f"The server's log has an error: the endpoint raised {raised}. Fix that first."


def line_of(error: str) -> str:
    """The line of the cell in which a traceback ends."""
    line = re.findall(rf'File "{FILE}", line (\d+)', error)
    return place_in_words(int(line[-1])) if line else "outside of your cell"


def require_no_errors(server: LiveServer, tried: str) -> None:
    """Nobody raised. Raises NotYet."""
    for error in server.errors:
        if found := errors_in(error):
            raise Probe(tried, "no error in the server's log").saw(quoted(found[-1], 90), why_failed(error))


def handlers(server: LiveServer) -> "list[asyncio.Task[Any]]":
    """The tasks in which the server runs an endpoint for a WebSocket."""
    return [
        task for task in asyncio.all_tasks(server.loop) if "run_asgi" in getattr(task.get_coro(), "__qualname__", "")
    ]


async def require_ended(server: LiveServer, before: "set[asyncio.Task[Any]]", tried: str, within: float) -> None:
    """Nothing runs but what ran before any client had come, `within` seconds from now. Raises NotYet."""

    def own() -> list[asyncio.Task[Any]]:
        return [task for task in tasks_of_the_cell(server) if task not in before]

    if await until(lambda: not own() and not handlers(server) and not threads_in_the_cell(), within):
        return
    left = own()
    name = getattr(left[0].get_coro(), "__name__", "") if left else ""
    if threads_in_the_cell():
        seen, why = "a thread of yours still runs", "A thread does not end with its client. A task can be cancelled."
    elif left and left[0].cancelling():
        seen, why = (
            f"the task `{name}` still runs",
            (
                "It was cancelled, and caught that: CancelledError is what cancel() raises in it. Catch what can go "
                "wrong with a client, WebSocketDisconnect and RuntimeError, and let the rest through."
            ),
        )
    elif left:
        seen, why = (
            f"the task `{name}` still runs",
            (
                "Its client has gone, and nobody ends it: each client that comes and goes leaves one behind. A finally "
                "with cancel() ends it, however the client leaves."
            ),
        )
    else:
        seen, why = "its handler has not returned", f"The conversation is over, and {where_it_is()}. Return then."
    raise Probe(tried, "nothing of yours runs for it any more").saw(seen, why)
