"""Bounded load against one server, from the loop that awaits it.

A raw HTTP/1.1 client (h11 over asyncio streams), because httpx's own work for many calls at once would be
part of what is measured.
"""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import h11

from workbench import clock
from workbench.clock import until
from workbench.server.live import LiveServer
from workbench.server.record import MARK, Request

MOST = 500  # calls in one burst
PATIENCE = 2.0  # seconds that the record gets to know the end of a request whose answer has come

_numbers = itertools.count(1)


@dataclass(slots=True)
class Call:
    """One call as the client saw it. Times in `time.perf_counter()` seconds."""

    number: int
    path: str
    start: float
    end: float = 0.0
    status: int | None = None
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    error: str | None = None
    request: Request | None = None

    @property
    def latency(self) -> float:
        """Seconds from the call to its last byte."""
        return self.end - self.start

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode(errors="replace")

    def json(self) -> Any:
        """The body, parsed. Raises ValueError when it is not JSON."""
        return json.loads(self.body)

    @property
    def parsed(self) -> Any:
        """The body, parsed, None when it is not JSON."""
        with contextlib.suppress(ValueError):
            return self.json()
        return None


@dataclass(slots=True)
class Burst:
    """What came of a burst: `calls` in the order they were made, each with the server's view of it."""

    calls: list[Call]
    start: float
    end: float
    server: LiveServer

    @property
    def wall(self) -> float:
        """Seconds from the first call to the last answer."""
        return self.end - self.start

    @property
    def latencies(self) -> list[float]:
        """Seconds that each call took."""
        return [call.latency for call in self.calls]

    @property
    def statuses(self) -> list[int | None]:
        """The status of each answer, None where there was none."""
        return [call.status for call in self.calls]

    @property
    def longest_lag(self) -> float:
        """Seconds that the server's loop was held at the longest during the burst."""
        return self.server.record.longest_lag(self.start, self.end)

    def __repr__(self) -> str:
        failed = sum(call.status is None for call in self.calls)
        return f"<Burst of {len(self.calls)} in {self.wall:.2f} s" + (f", {failed} failed>" if failed else ">")


async def burst(
    server: LiveServer,
    path: str | list[str],
    n: int = 10,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    timeout: float = 10.0,
) -> Burst:
    """Make `n` calls without a body in the same moment, each on a connection of its own, and wait for all.

    The connections are opened before the first call, so that they are no part of what is measured.

    path: one path, or a list of paths that the calls take in turn.
    n: number of calls, at most 500.
    method: "GET", "POST" and so on.
    headers: what each call sends besides those that it needs.
    timeout: seconds for each call. A call that fails has `status` None and says why in `error`.
    """
    if not 1 <= n <= MOST:
        raise ValueError(f"a burst has 1 to {MOST} calls, not {n}")
    paths = [path] if isinstance(path, str) else path
    prefix = f"burst-{next(_numbers)}-"
    async with contextlib.AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(contextlib.aclosing(_Connection(server.url))) for _ in range(n)]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await asyncio.gather(*(connection.open() for connection in connections), return_exceptions=True)
        start = clock.now()
        calls = [Call(number, paths[number % len(paths)], start) for number in range(n)]
        async with asyncio.TaskGroup() as group:
            for call, connection in zip(calls, connections, strict=True):
                mine = {**(headers or {}), MARK.decode(): f"{prefix}{call.number}"}
                group.create_task(_call_once(connection, call, method, mine, timeout))
    end = max(call.end for call in calls)
    await _until_the_record_knows(server, end, calls, prefix)
    return Burst(calls, start, end, server)


async def ask(
    server: LiveServer,
    path: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    timeout: float = 10.0,
) -> Call:
    """A single call, as a `burst` makes it."""
    return (await burst(server, path, 1, method=method, headers=headers, timeout=timeout)).calls[0]


async def _until_the_record_knows(server: LiveServer, moment: float, calls: list[Call], prefix: str) -> None:
    """Give each call the server's view of it, once that is complete, or after a while.

    A lag is noted when the loop is free again, and what a handler raised when the answer, a 500, has gone out.
    """
    patience = clock.now() + PATIENCE
    while True:
        seen = {request.mark: request for request in server.record.marked(prefix)}
        for call in calls:
            call.request = seen.get(f"{prefix}{call.number}")
        open_still = [one for one in calls if one.status and one.status >= 500 and one.request and not one.request.done]
        if not server.alive or clock.now() > patience or (server.record.looked_at() >= moment and not open_still):
            return
        await asyncio.sleep(0.002)


async def look_up(call: Call, server: LiveServer, is_it: Callable[[Request], bool]) -> None:
    """Give a call that was made otherwise than by a burst the server's view of it: the last request that `is_it`.

    Where it failed, once that view is complete: what a handler raised is known when the 500 has gone out.
    """
    found = call.request = next((one for one in reversed(list(server.record.requests)) if is_it(one)), None)
    if found is not None and (call.error or call.status is None or call.status >= 500):
        await until(lambda: found.done is not None, PATIENCE)


async def _call_once(
    connection: "_Connection", call: Call, method: str, headers: Mapping[str, str], timeout: float
) -> None:
    call.start = clock.now()
    try:
        async with asyncio.timeout(timeout):
            call.status, call.headers, call.body = await connection.ask(method, call.path, headers)
    except TimeoutError:
        call.error = f"no answer within {timeout:g} s"
    except (OSError, EOFError, h11.RemoteProtocolError) as error:
        call.error = f"{type(error).__name__}: {error}"
    call.end = clock.now()


class _Connection:
    """One keep-alive connection that makes one call at a time."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._address = parts.hostname, parts.port
        self._http = h11.Connection(h11.CLIENT)
        self._writer: asyncio.StreamWriter | None = None

    async def open(self) -> None:
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(*self._address)

    async def ask(self, method: str, path: str, given: Mapping[str, str]) -> tuple[int, dict[str, str], bytes]:
        await self.open()
        assert self._writer is not None
        headers = [("host", f"{self._address[0]}:{self._address[1]}"), *given.items()]
        if method not in ("GET", "HEAD"):
            headers.append(("content-length", "0"))
        request = h11.Request(method=method, target=path, headers=headers)
        for part in (request, h11.EndOfMessage()):
            self._writer.write(self._http.send(part) or b"")
        body = bytearray()
        status, answer = 0, dict[str, str]()
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                self._http.receive_data(await self._reader.read(65536))
            elif isinstance(event, h11.Response):
                status = event.status_code
                answer = {name.decode(): value.decode("latin-1") for name, value in event.headers}
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                break
            elif isinstance(event, h11.ConnectionClosed):
                raise EOFError("the server closed the connection")
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        else:
            await self.aclose()
        return status, answer, bytes(body)

    async def aclose(self) -> None:
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()
            self._writer = None
            self._http = h11.Connection(h11.CLIENT)


@dataclass(slots=True)
class Heartbeat:
    """Pings that go on while something else happens. `pings` are (start, seconds) pairs."""

    path: str
    pings: list[tuple[float, float]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def longest(self) -> float:
        """Seconds of the slowest ping."""
        return max((seconds for _, seconds in self.pings), default=0.0)

    @property
    def per_second(self) -> float:
        """Answers in a second. Between an answer and the next ping is a pause, so 100 at the most by default."""
        if not self.pings:
            return 0.0
        (begun, _), (last, seconds) = self.pings[0], self.pings[-1]
        return len(self.pings) / (last + seconds - begun)


@contextlib.asynccontextmanager
async def heartbeat(
    server: LiveServer, path: str = "/ping", *, every: float = 0.01, timeout: float = 10.0
) -> AsyncIterator[Heartbeat]:
    """Ping `path` one call after another while the block runs: is the server's loop alive meanwhile?

    every: seconds of pause between an answer and the next ping.
    timeout: seconds for each ping, and for the last one after the block has ended.
    """
    beat = Heartbeat(path)
    ended = asyncio.Event()

    async def ping_for_ever() -> None:
        async with contextlib.aclosing(_Connection(server.url)) as connection:
            while not ended.is_set():
                start = clock.now()
                try:
                    async with asyncio.timeout(timeout):
                        status, _, _ = await connection.ask("GET", path, {})
                    if status != 200:
                        beat.failures.append(f"status {status}")
                except (TimeoutError, OSError, EOFError, h11.ProtocolError) as error:
                    beat.failures.append(f"{type(error).__name__}: {error}")
                    await connection.aclose()
                beat.pings.append((start, clock.now() - start))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(ended.wait(), every)

    async with asyncio.TaskGroup() as group:
        group.create_task(ping_for_ever(), name=f"heartbeat {path}")
        try:
            while not beat.pings:  # the first ping opens the connection, before the load
                await asyncio.sleep(0.001)
            beat.pings.clear()
            yield beat
        finally:
            ended.set()
