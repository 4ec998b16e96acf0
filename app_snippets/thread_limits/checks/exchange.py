"""The stock exchange that quotes come from, and its log."""

import asyncio
import contextlib
import math
import secrets

from fastapi import FastAPI, HTTPException, Request

from workbench import clock

HANG = 8  # seconds after which nobody waits any longer


class Exchange:
    """A service that lets its callers wait until it is opened, for all or for one, and logs them."""

    def __init__(self) -> None:
        self.app = FastAPI(openapi_url=None)
        self.app.add_api_route("/quotes/{symbol}", self.quote)
        self.secret = secrets.randbelow(1_000)
        self.asked: list[str] = []
        self.clients: set[str] = set()
        self.in_flight = self.peak = 0
        self.opened_at = math.inf
        self.gates: list[asyncio.Event] = []  # of each call: until it is set, there is no answer
        self.answered: list[int] = []  # the numbers of the calls that had theirs before all others
        self.refused: list[int] = []  # and of those that had an error

    async def quote(self, symbol: str, request: Request) -> dict[str, float]:
        self.loop, gate, number = asyncio.get_running_loop(), asyncio.Event(), len(self.gates)
        self.gates.append(gate)
        self.asked.append(symbol)
        self.clients.add(request.headers.get("user-agent", "no name"))
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            if self.opened_at == math.inf:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(gate.wait(), HANG)
        finally:
            self.in_flight -= 1
        if number in self.refused:
            raise HTTPException(404, "no such symbol")
        return {"price": self.price(symbol)}

    def answer(self, number: int) -> None:
        """Let a call have its answer. From any thread."""
        self.loop.call_soon_threadsafe(self.gates[number].set)

    def open(self) -> None:
        """Let everybody have an answer, now and from now on."""
        self.opened_at = min(self.opened_at, clock.now())
        for number in range(len(self.gates)):
            self.answer(number)

    def price(self, symbol: str) -> float:
        return float(self.secret + int(symbol))
