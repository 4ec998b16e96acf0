"""What `fetch_all` is given to fetch from, and what is noted of it."""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from workbench import clock
from workbench.clock import until

LIMIT = 10
TURNS = 10  # of the loop, after a failure, in which what waits for a place can take the one that got free
AFTERWARDS = 0.3  # seconds in which tasks that were left behind can end, or begin another fetch


@dataclass
class Service:
    """What `fetch` asks. It counts who is in, and in which loop."""

    seconds: dict[int, float]
    fails: int | None = None
    loop: asyncio.AbstractEventLoop | None = None
    begun: list[int] = field(default_factory=list)
    elsewhere: int = 0  # calls in another loop than the caller's
    in_flight: int = 0
    peak: int = 0
    empty: bool = True  # nobody has been in since the last one was out, or only one
    just_now: bool = False  # the last one was out less than TURNS ago
    rounds: int = 0  # how often several came in just after the last one was out
    alone: int = 0  # how often one did
    looked_at: float = 0.0
    passed: float = 0.0  # seconds since the first call began
    held: float = 0.0  # seconds that places were in use in that time, all of them together
    in_use: float = 1.0  # the part of the places that was in use until the last call began
    left_at: float = 0.0  # when the last one was out
    error: ConnectionError | None = None
    over: bool = False  # a failure was TURNS ago
    begun_late: int = 0
    waited_for: int = 0  # calls that came to their end after it
    cancelled: int = 0

    async def fetch(self, id: int) -> str | None:
        self._comes(id)
        try:
            await asyncio.sleep(self.seconds[id])
            if id == self.fails:
                self.error = ConnectionError(f"no price for {id}")
                self._in_turns(TURNS, "over", True)
                raise self.error
            self.waited_for += self.over
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self._look()
            self.in_flight -= 1
            if not self.in_flight:
                self.empty = self.just_now = True
                self._in_turns(TURNS, "just_now", False)
            self.left_at = clock.now()
        return self.price(id)

    def price(self, id: int) -> str | None:
        """What fetch returns for an id: None for one in three."""
        return f"price of {id}" if id % 3 else None

    def _comes(self, id: int) -> None:
        self._look()
        if self.passed:
            self.in_use = self.held / (LIMIT * self.passed)
        self.begun.append(id)
        self.begun_late += self.over
        self.elsewhere += asyncio.get_running_loop() is not self.loop
        self.alone += self.in_flight == 0 and self.just_now
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        if self.empty and self.in_flight > 1:
            self.rounds += self.just_now
            self.empty = False

    def _look(self) -> None:
        now = clock.now()
        if self.begun:
            self.passed += now - self.looked_at
            self.held += self.in_flight * (now - self.looked_at)
        self.looked_at = now

    def _in_turns(self, left: int, name: str, value: bool) -> None:
        """Set a flag when the loop has gone round so often."""
        if left:
            asyncio.get_running_loop().call_soon(self._in_turns, left - 1, name, value)
        else:
            setattr(self, name, value)


@dataclass
class Made:
    """What the answer made use of: only to choose the words."""

    semaphores: list[int] = field(default_factory=list)  # the places of each
    groups: int = 0


@contextlib.contextmanager
def noting() -> Iterator[Made]:
    made = Made()
    new_semaphore, enter_group = asyncio.Semaphore.__init__, asyncio.TaskGroup.__aenter__

    def init(self: asyncio.Semaphore, value: int = 1) -> None:
        made.semaphores.append(value)
        new_semaphore(self, value)

    async def enter(self: asyncio.TaskGroup) -> asyncio.TaskGroup:
        made.groups += 1
        return await enter_group(self)

    with patch.object(asyncio.Semaphore, "__init__", init), patch.object(asyncio.TaskGroup, "__aenter__", enter):
        yield made


@dataclass
class Outcome:
    seconds: float
    after_the_last: float = 0.0  # seconds, of these, in which no fetch was in flight any more
    value: Any = None
    error: BaseException | None = None
    in_time: bool = True
    left: int = 0  # in flight when it came back
    begun_after: int = 0
    cancelled_after: int = 0
    tasks: list["asyncio.Task[Any]"] = field(default_factory=list)  # that are there for good


async def fetched(fetch_all: Any, service: Service, ids: list[int], *, seconds: float) -> Outcome:
    """Await fetch_all, and look at what it left behind until that has ended."""
    started, outcome, others = clock.now(), Outcome(seconds), asyncio.all_tasks()
    service.loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(seconds) as limit:
            outcome.value = fetch_all(ids, service.fetch)
            if not isinstance(outcome.value, list):
                outcome.value = await outcome.value
    except (Exception, asyncio.CancelledError) as error:
        outcome.error = error
        outcome.in_time = not (isinstance(error, TimeoutError) and limit.expired())
    outcome.seconds = clock.now() - started
    outcome.after_the_last = clock.now() - service.left_at if service.begun else 0.0
    outcome.left, begun, cancelled = service.in_flight, len(service.begun), service.cancelled
    await until(lambda: asyncio.all_tasks() <= others or len(service.begun) > begun, AFTERWARDS)
    outcome.begun_after, outcome.cancelled_after = len(service.begun) - begun, service.cancelled - cancelled
    outcome.tasks = list(asyncio.all_tasks() - others)
    return outcome
