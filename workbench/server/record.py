"""What a server saw: requests, WebSocket messages and loop lag.

All times are `time.perf_counter()` seconds, the clock that the load side uses too.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from workbench import clock

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

KEPT = 5_000  # entries of each kind; older ones are dropped
PROBE_INTERVAL = 0.01  # seconds between two looks at the loop

MARK = b"x-burst-call"  # the header by which a burst finds its own requests again


@dataclass(slots=True)
class Request:
    """One HTTP request as the server saw it. Times in seconds, None until it happened."""

    method: str
    path: str
    client_port: int | None
    mark: str | None
    arrived: float
    first_byte: float | None = None
    done: float | None = None
    status: int | None = None
    cancelled: bool = False
    error: BaseException | None = None
    parts: int = 0  # of its body that have been sent

    @property
    def duration(self) -> float | None:
        """Seconds from arrival until the handler returned, or None while it runs."""
        return None if self.done is None else self.done - self.arrived


@dataclass(frozen=True, slots=True)
class WebSocketMessage:
    """One WebSocket event: `direction` is "in" or "out", `size` the payload in bytes, None for accept and close."""

    at: float
    client_port: int | None
    path: str
    direction: str
    kind: str
    size: int | None


@dataclass(frozen=True, slots=True)
class Lag:
    """The loop was due back at `due` and came back `held` seconds later."""

    due: float
    held: float


@dataclass
class Record:
    """Everything that one server saw, oldest first, at most `KEPT` entries of each kind."""

    requests: deque[Request] = field(default_factory=lambda: deque(maxlen=KEPT))
    messages: deque[WebSocketMessage] = field(default_factory=lambda: deque(maxlen=KEPT))
    lags: deque[Lag] = field(default_factory=lambda: deque(maxlen=KEPT))

    def marked(self, prefix: str) -> list[Request]:
        """The requests whose burst mark starts with `prefix`."""
        return [request for request in list(self.requests) if (request.mark or "").startswith(prefix)]

    def peak(self) -> int:
        """The most requests that were in flight at once."""
        edges = [(one.arrived, 1) for one in list(self.requests)]
        edges += [(one.done, -1) for one in list(self.requests) if one.done is not None]
        in_flight = most = 0
        for _, step in sorted(edges):
            in_flight += step
            most = max(most, in_flight)
        return most

    def conversation(self, port: int) -> list[WebSocketMessage]:
        """What passed in the WebSocket whose client is at that port, in its order."""
        return [message for message in list(self.messages) if message.client_port == port]

    def looked_at(self) -> float:
        """When the loop was last found free, 0 before the first time."""
        return self.lags[-1].due + self.lags[-1].held if self.lags else 0.0

    def lags_between(self, start: float, end: float) -> list[Lag]:
        """The lags that overlap the window from `start` to `end`."""
        return [lag for lag in list(self.lags) if lag.due <= end and lag.due + lag.held >= start]

    def longest_lag(self, start: float, end: float) -> float:
        """Seconds that the loop was held at the longest between `start` and `end`."""
        return max((lag.held for lag in self.lags_between(start, end)), default=0.0)

    async def probe(self) -> None:
        """Sleep a little for ever, and note how late the loop wakes us: that is how long it was held."""
        due = clock.now() + PROBE_INTERVAL
        while True:
            await asyncio.sleep(due - clock.now())
            now = clock.now()
            self.lags.append(Lag(due, max(0.0, now - due)))
            due = now + PROBE_INTERVAL


def recorded(app: ASGIApp, record: Record) -> ASGIApp:
    """Wrap an ASGI app so that `record` hears of every request and WebSocket message. Bodies are not kept."""

    async def http(scope: Scope, receive: Receive, send: Send) -> None:
        mark = next((value.decode("latin-1") for name, value in scope["headers"] if name == MARK), None)
        client = scope.get("client")
        request = Request(scope["method"], scope["path"], client[1] if client else None, mark, clock.now())
        record.requests.append(request)

        async def noting_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                request.status = message["status"]
            elif message["type"] == "http.response.body":
                request.parts += 1
                if request.first_byte is None:
                    request.first_byte = clock.now()
            await send(message)

        try:
            await app(scope, receive, noting_send)
        except asyncio.CancelledError:
            request.cancelled = True
            raise
        except BaseException as error:
            request.error = error
            raise
        finally:
            request.done = clock.now()

    async def websocket(scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        port = client[1] if client else None

        def note(direction: str, message: Message) -> None:
            payload = message.get("bytes") or (message.get("text") or "").encode()
            kind = message["type"].removeprefix("websocket.")
            size = len(payload) if kind in ("send", "receive") else None
            record.messages.append(WebSocketMessage(clock.now(), port, scope["path"], direction, kind, size))

        async def noting_receive() -> Message:
            message = await receive()
            note("in", message)
            return message

        async def noting_send(message: Message) -> None:
            note("out", message)
            await send(message)

        await app(scope, noting_receive, noting_send)

    async def wrapper(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await http(scope, receive, send)
        elif scope["type"] == "websocket":
            await websocket(scope, receive, send)
        else:
            await app(scope, receive, send)

    return wrapper
