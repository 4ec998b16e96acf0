"""A service with a fault for each path, and what it saw."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from workbench import clock

SLOW = 0.2  # seconds that a good answer may take
PATIENCE = 1.5  # seconds for which the service says nothing, or drips


@dataclass
class Faulty:
    """A service with a fault for each path.

    `asked` has the moments of the requests by "GET /path", and `over` those in which each of them was answered, or
    its caller had left.
    """

    asked: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    over: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    async def answer(self, request: Request) -> Response:
        key = f"{request.method} {request.url.path}"
        self.asked[key].append(clock.now())
        number = len(self.asked[key])
        try:
            return await self._answer(request, request.url.path, number)
        finally:
            self.over[key].append(clock.now())

    async def _answer(self, request: Request, path: str, number: int) -> Response:
        if path == "/down" or (path == "/twice" and number <= 2):
            return Response(f"down, {number}", 500 if path == "/twice" and number == 1 else 503)
        if path == "/broken" or (path == "/broken-twice" and number <= 2):
            return Response("half", headers={"content-length": "8"})
        if path in ("/missing", "/gone"):
            return Response("no such thing", 404 if path == "/missing" else 499)
        if path == "/drops":
            return StreamingResponse(_drops())
        if path == "/silent" or (path == "/silent-once" and number == 1):
            await _say_nothing(request)
        if path == "/slow":
            await asyncio.sleep(SLOW)
        return Response(f"attempt {number}")

    def attempts(self, key: str) -> int:
        return len(self.asked[key])

    def lengths(self, key: str) -> list[float]:
        """Seconds that each attempt took which is over."""
        pairs = zip(self.asked[key], self.over[key], strict=False)
        return [over - asked for asked, over in pairs]

    def shortest_pause(self, key: str) -> float:
        """Seconds between an answer and the next attempt, at the least."""
        pairs = zip(self.over[key], self.asked[key][1:], strict=False)
        return min((after - before for before, after in pairs), default=1.0)


async def _say_nothing(request: Request) -> None:
    """Wait until the caller leaves."""
    await request.body()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while (await request.receive())["type"] != "http.disconnect":
                pass


async def _drops() -> AsyncIterator[bytes]:
    for _ in range(int(PATIENCE / 0.1)):
        yield b"."
        await asyncio.sleep(0.1)
