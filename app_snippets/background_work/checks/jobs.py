"""Jobs that an app's own lifespan starts, and a log of what becomes of them."""

import asyncio
import contextlib
import gc
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request

from app_snippets.background_work.checks.common import errors_in, posted
from workbench import clock
from workbench.server import LiveServer

Job = Callable[[], Coroutine[Any, Any, Any]]

FAILURES = {
    1: LookupError("no such address: job-4711"),
    2: ArithmeticError("no such number: job-4712"),
    3: BufferError("no such place: job-4713"),
}


def failing(number: int) -> Job:
    """What raises a failure of its own."""

    async def fails() -> None:
        raise type(FAILURES[number])(*FAILURES[number].args)

    return fails


async def nothing() -> None:
    """A job that is done at once."""
    await asyncio.sleep(0)


async def collect() -> None:
    gc.collect()


@dataclass(kw_only=True)
class Jobs:
    jobs: list[Job] = field(default_factory=list)  # what the endpoints start, or do, next
    is_async: bool = False  # start(job) gave something to await
    log: dict[str, float] = field(default_factory=dict)  # what happened when, in perf_counter() seconds
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    raised: BaseException | None = None  # by the lifespan, when the server stopped
    cancelled: bool = False  # when the lifespan had ended, tasks were left that it had cancelled

    def enter(self, app: FastAPI) -> None:
        """Note when the app's lifespan begins and ends, and add endpoints that start jobs."""
        app.router.lifespan_context = self.noting(app.router.lifespan_context)
        app.add_api_route("/start-them", self.start_them, methods=["POST"])
        app.add_api_route("/do-it", self.do_it, methods=["POST"])

    def noting(self, lifespan: Any) -> Any:
        """The answer's lifespan, and a note of when its parts begin and end."""

        @contextlib.asynccontextmanager
        async def noted(app: FastAPI) -> AsyncIterator[Any]:
            self.log, self.stopping = {"up": clock.now()}, asyncio.Event()
            try:
                async with lifespan(app) as state:
                    yield state
                    self.note("stopping")
                    self.stopping.set()
            except BaseException as error:
                self.raised = error
                raise
            finally:
                self.note("ended")
                self.cancelled = any(task.cancelling() for task in asyncio.all_tasks())

        return noted

    def note(self, what: str) -> None:
        self.log.setdefault(what, clock.now())

    def job(self, name: str, *parts: Callable[[], Awaitable[Any]]) -> Job:
        """A job that awaits its parts, and notes when it began, and how it ended."""

        async def run() -> None:
            self.note(f"{name} began")
            try:
                for part in parts:
                    await part()
                self.note(f"{name} done")
            except asyncio.CancelledError:
                self.note(f"{name} cancelled")
                raise

        return run

    async def start_them(self, request: Request) -> str:
        """Start the jobs of the moment, as an endpoint of the app would."""
        for job in self.jobs:
            started = request.state.start(job())
            if inspect.iscoroutine(started):
                started.close()
                self.is_async = True
            await asyncio.sleep(0)
        return "started"

    async def do_it(self, request: Request) -> None:
        """Do the jobs themselves, in the server's loop and for its log."""
        for job in self.jobs:
            await job()

    async def do(self, server: LiveServer, job: Job) -> None:
        self.jobs = [job]
        await posted(server, "/do-it")

    def unsaid(self, server: LiveServer, *numbers: int) -> list[int]:
        """Which failures the log does not tell of."""
        told = errors_in(server)
        signs = {number: (str(FAILURES[number]), type(FAILURES[number]).__name__) for number in numbers}
        return [number for number in numbers if not any(sign in told for sign in signs[number])]
