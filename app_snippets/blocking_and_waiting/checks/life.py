"""What becomes of a lifespan and of what it starts, followed from its start to its end."""

import asyncio
import contextlib
import traceback
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from workbench.judge import FILE, Probe, innermost, place_in_words
from workbench.server.live import HandlerEnded

INTERVAL = 0.1  # seconds that the monitor sleeps; of a stall it may miss so much
SOON = 10 * INTERVAL  # seconds for a lifespan to come to its `yield`, and to its end
STOP = "to stop the server"


@dataclass
class Life:
    """What became of the answer's lifespan, and of the tasks that it started."""

    tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    left: set[asyncio.Task[Any]] = field(default_factory=set)  # of these, what went on after its end
    never_begins: str = ""  # the line at which it waits instead
    never_ends: str = ""
    failure: BaseException | None = None  # what its end raised
    still_written: bool = False  # where it started no task: whether something writes into its Lag after its end

    def followed(self, lifespan: Any) -> Any:
        """The lifespan, followed from its start to its end."""

        @contextlib.asynccontextmanager
        async def noted(app: Any) -> AsyncIterator[Any]:
            before = asyncio.all_tasks()
            running = lifespan(app)
            try:
                async with asyncio.timeout(SOON) as start:
                    state = await running.__aenter__()
            except TimeoutError as error:
                self.never_begins = _waited_at(error) if start.expired() else ""
                raise
            self.tasks = asyncio.all_tasks() - before
            yield state
            try:
                async with asyncio.timeout(SOON) as end:
                    await running.__aexit__(None, None, None)
            except BaseException as error:
                if end.expired():
                    self.never_ends = _waited_at(error)
                else:
                    self.failure = error
            if self.tasks:
                _, self.left = await asyncio.wait(self.tasks, timeout=3 * INTERVAL)
            elif isinstance(state, dict):
                self.still_written = await _is_written(state.get("lag"))

        return noted

    def require_its_end(self) -> None:
        """It ended with the server, in time, with its tasks and without an exception. Raises NotYet."""
        if self.never_ends:
            raise Probe(STOP, "a lifespan that comes to its end").saw(
                f"it waits at {self.never_ends}",
                "Behind the `yield`, the lifespan waits for a task that never ends by itself, and the server cannot "
                "stop. Cancel the task first: task.cancel().",
            )
        if self.failure:
            name = type(self.failure).__name__
            line = place_in_words(innermost(self.failure.__traceback__))
            if isinstance(self.failure, HandlerEnded):
                raise Probe(STOP, "a lifespan that comes to its end").saw(
                    f"it goes on at {line}",
                    "What stands behind the `yield` never comes to its end, and gives nobody else a turn: the server "
                    "cannot stop.",
                )
            raise Probe(STOP, "an end of the lifespan that raises nothing").saw(
                f"{name}, {line}".rstrip(", "),
                "Whoever awaits a cancelled task gets its CancelledError. Where the lifespan awaits the task after "
                "cancel(), it catches that; it may leave out the `await`, too."
                if isinstance(self.failure, asyncio.CancelledError)
                else f"What stands behind the `yield` raised {name}: {self.failure}".rstrip(": ") + ".",
            )
        if self.left or self.still_written:
            raise Probe(STOP, "no monitor that goes on").saw(
                "the monitor still runs when the lifespan has ended",
                "What a lifespan starts, it ends: keep the task, and cancel it after the `yield`. A monitor that "
                "catches the CancelledError must not go on after it.",
            )


def _waited_at(error: BaseException) -> str:
    """The line of the cell, the outermost one, that waited until a timeout ended it."""
    waiting = error.__cause__ or error
    lines = [line for frame, line in traceback.walk_tb(waiting.__traceback__) if frame.f_code.co_filename == FILE]
    return place_in_words(lines[0] if lines else None) or "what it awaits"


async def _is_written(lag: Any) -> bool:
    """Whether something lifts a Lag that is far below zero."""
    if not hasattr(lag, "longest"):
        return False
    lag.longest = -1.0
    await asyncio.sleep(3 * INTERVAL)
    return bool(lag.longest > -1)
