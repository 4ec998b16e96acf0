"""Broadcasts in a room of the WebSocket lesson's chat: its hub against the list of connections."""

import asyncio
import contextlib
import socket
import statistics
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect

from tests.benchmarks.standalone import memory, standalone

APPS = {"the hub": "app_snippets.websockets.chat:app", "the list": "app_snippets.websockets.wrong_manager:app"}
CLIENTS = (10, 100, 500)
SECONDS = 4.0  # of sending, at the most
MESSAGES = 400  # likewise
SIZE = 1_900  # characters of a message, of four bytes each
PATIENCE = 2.0  # seconds without an echo after which the room is said to stand still

Row = tuple[str, str, str]


@dataclass
class Outcome:
    """What came of one room: messages sent, seconds of sending, and the delays in seconds at all who listen."""

    clients: int
    sent: int = 0
    seconds: float = 0.0
    delays: list[float] = field(default_factory=list)
    kilobytes: float = 0.0
    stood_still: bool = False

    def in_words(self) -> str:
        if self.stood_still:
            return f"stands still after {self.sent} messages"
        rate = len(self.delays) / self.seconds
        late = statistics.quantiles(self.delays, n=20)[-1]
        return f"{rate:,.0f} per second, 95 % within {1000 * late:,.0f} ms"


@contextlib.asynccontextmanager
async def joined_by_hand(port: int, room: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A member over a bare connection with a narrow buffer. It answers no ping, and nothing is read unasked."""
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    narrow.connect(("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=narrow, limit=4096)
    try:
        writer.write(
            f"GET /rooms/{room}?name=rough HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        await reader.readuntil(b"\r\n\r\n")
        yield reader, writer
    finally:
        writer.transport.abort()


@contextlib.asynccontextmanager
async def members(port: int, room: str, n: int) -> AsyncIterator[list[ClientConnection]]:
    async with contextlib.AsyncExitStack() as stack:
        joined = []
        for number in range(n):
            address = f"ws://127.0.0.1:{port}/rooms/{room}?{urlencode({'name': f'n{number}'})}"
            joined.append(await stack.enter_async_context(connect(address, compression=None, max_queue=None)))
        yield joined


async def one_room(port: int, pid: int, n: int, *, stalled: bool) -> Outcome:
    """Send to a room of `n` members, the next message when the sender's own echo is back."""
    outcome = Outcome(n)
    room = f"room{n}{stalled}"
    before = memory(pid)
    async with members(port, room, n) as joined:
        await asyncio.sleep(0.3)  # who joined is told to all first
        outcome.kilobytes = (memory(pid) - before) / n * 1000
        echoed = asyncio.Event()

        async def listen(client: ClientConnection, own: asyncio.Event | None) -> None:
            async for text in client:
                _, _, stamp = str(text).partition(": ")
                if stamp[:1].isdigit():
                    outcome.delays.append(time.perf_counter() - float(stamp.split()[0]))
                    if own:
                        own.set()

        async with joined_by_hand(port, room) if stalled else contextlib.nullcontext():
            listeners = [
                asyncio.create_task(listen(client, None if number else echoed)) for number, client in enumerate(joined)
            ]
            start = time.perf_counter()
            while outcome.sent < MESSAGES and time.perf_counter() - start < SECONDS and not outcome.stood_still:
                echoed.clear()
                await joined[0].send(f"{time.perf_counter()} ".ljust(SIZE, "\N{BALLOON}"))
                try:
                    await asyncio.wait_for(echoed.wait(), PATIENCE)
                    outcome.sent += 1
                except TimeoutError:
                    outcome.stood_still = True
            if not outcome.stood_still:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PATIENCE):
                        while len(outcome.delays) < n * outcome.sent:
                            await asyncio.sleep(0.01)
            outcome.seconds = time.perf_counter() - start
            for listener in listeners:
                listener.cancel()
            await asyncio.gather(*listeners, return_exceptions=True)
    return outcome


def broadcasts() -> list[Row]:
    """A line for each size of room, with and without a member that does not read. The hub must lose nothing."""
    table = []
    for stalled in (False, True):
        for n in CLIENTS:
            said = {}
            for name, app in APPS.items():
                with standalone(app) as (port, pid):
                    outcome = asyncio.run(one_room(port, pid, n, stalled=stalled))
                if name == "the hub":
                    assert len(outcome.delays) == n * outcome.sent, f"{len(outcome.delays)} of {n * outcome.sent} came"
                said[name] = outcome
            ours, theirs = said["the hub"], said["the list"]
            who = ", one of them does not read" if stalled else ""
            rate, _, late = ours.in_words().partition(", ")
            table.append(
                (
                    f"messages delivered to {n} clients{who}",
                    rate,
                    f"{late}, {ours.kilobytes:,.0f} kB a client; the list: {theirs.in_words()}",
                )
            )
    return table
