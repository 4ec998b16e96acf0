"""The warehouse that exports write to, and its log."""

import asyncio
import contextlib
from collections import defaultdict

from fastapi import FastAPI, Request

from workbench import clock

DEADLINE = 0.5  # seconds that the cell gives an export
PASSED = 1.1 * DEADLINE  # seconds from its first row: then the deadline has passed on every clock that began before
LATE = 1.0  # seconds: twice the deadline, and half of what 100 rows take
ROW = 0.02  # seconds for each row
SLOW_ROWS = (6, 12)  # one of them is under way when the deadline passes; the number of the next is no round one


class Warehouse:
    """A service that writes rows, and logs those that it was asked for by their exports.

    A row of the large job that comes again belongs to the small export beside the large one.
    """

    def __init__(self) -> None:
        self.app = FastAPI(openapi_url=None)
        self.app.add_api_route("/{job}/{row}", self.write, methods=["POST"])
        self.rows: defaultdict[str, list[int]] = defaultdict(list)
        self.clients: set[str] = set()
        self.passed = 0.0  # when the deadline of the large export has passed on every clock
        self.slow = False  # whether a row of it was under way then
        self.late = 0  # rows of it that came since
        self.small_began = 0.0
        self.at_once = self.most_at_once = 0
        self.answered = asyncio.Event()  # the large export: until then, the small one does not get any further

    async def write(self, job: str, row: int, request: Request) -> None:
        self.clients.add(request.headers.get("user-agent", "no name"))
        export = "small" if job == "large" and row in self.rows["large"] else job
        self.rows[export].append(row)
        if export == "small":
            self.small_began = self.small_began or clock.now()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2 * DEADLINE):
                    await self.answered.wait()
        if export == "large":
            await self._write_large(row)

    async def _write_large(self, row: int) -> None:
        now = clock.now()
        self.passed = self.passed or now + PASSED
        self.late += now >= self.passed
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        left = self.passed - now
        if row in SLOW_ROWS and 0 < left < PASSED - DEADLINE / 2:
            self.slow = True
            await asyncio.sleep(left)
        elif left > PASSED - LATE:  # afterwards nobody can be in time, and the rest need not take as long
            await asyncio.sleep(ROW)
        self.at_once -= 1
