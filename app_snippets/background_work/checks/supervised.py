"""How the exercise "Jobs that are looked after" is judged."""

import ast
import asyncio
import contextlib
import gc
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

from fastapi import FastAPI, Request

from app_snippets.background_work.checks.common import all_logged, posted, printed
from workbench import clock
from workbench.around import Call
from workbench.clock import until
from workbench.judge import Answer, NotYet, Probe, calls, exercise, failure_in_words, ms, nodes
from workbench.server import LiveServer

JOB = 0.2  # seconds; so long run a job that nobody may wait for, and one that must be done when the server has stopped
DRAIN = 0.5  # seconds that the answer gives to running jobs
LONG = 4 * DRAIN  # seconds; a job that must be cancelled when the server stops
MANY = 60  # jobs; of these, finished tasks that are still kept are counted
KEPT = 30
GRACE = 3.0  # seconds that the server gives the lifespan before it ends it by force
SOON = 1.0  # seconds for what comes at once, or not at all

LIMIT_TOO_EARLY = (
    "The limit counts from the start of the server: DRAIN seconds later every job is cancelled, while the server still "
    "runs. Let the limit begin after the `yield`: asyncio.timeout(None), and budget.reschedule(…) there."
)

Job = Callable[[], Coroutine[Any, Any, Any]]


@exercise(
    "Jobs that are looked after",
    asks_for="app",
    hints=[
        "Who holds a task that nobody awaits, who learns of its exception, and who waits for it when the server stops?",
        "An asyncio.TaskGroup around the `yield` holds its tasks, forgets those that are done, and waits at its end. A "
        "child that raises ends the whole group, so the job must be wrapped in something that logs instead.",
        "`async with asyncio.timeout(None) as budget, asyncio.TaskGroup() as group:` around the yield, and after it "
        "budget.reschedule(asyncio.get_running_loop().time() + DRAIN). Catch the TimeoutError outside.",
    ],
)
async def supervised(answer: Answer) -> str:
    """A forgotten job, a failing one, many, and those that run when the server stops."""
    app = await answer.load()
    if not isinstance(app, FastAPI):
        raise Probe("`app`", "the FastAPI app").saw(
            type(app).__name__,
            "`app` is no longer the FastAPI app itself: the check adds an endpoint to it that starts jobs.",
        )
    trials = _Jobs(answer)
    app.router.lifespan_context = trials.noting_the_stop(app.router.lifespan_context)
    app.add_api_route("/start-it", trials.start_it, methods=["POST"])
    app.add_api_route("/do-it", trials.do_it, methods=["POST"])
    await trials.idle()
    seconds = await trials.all_of_them()
    return f"Nothing was collected, one failure ended nothing else, and the server stopped in {ms(seconds)}."


@dataclass
class _Jobs:
    answer: Answer
    job: Job = asyncio.Event().wait  # what the endpoints start or do next
    is_async: bool = False  # start(job) gave something to await
    log: dict[str, float] = field(default_factory=dict)  # what happened when, in perf_counter() seconds

    def noting_the_stop(self, lifespan: Any) -> Any:
        """A lifespan that notes when what stands behind its `yield` begins."""

        @contextlib.asynccontextmanager
        async def noted(app: FastAPI) -> AsyncIterator[Any]:
            async with lifespan(app) as state:
                yield state
                self.note("stopping")

        return noted

    async def start_it(self, request: Request, times: int = 1) -> str:
        """Start the job of the moment, as an endpoint of the app would."""
        for _ in range(times):
            started = request.state.start(self.job())
            if inspect.iscoroutine(started):
                started.close()
                self.is_async = True
            await asyncio.sleep(0)
        return "started"

    async def do_it(self, request: Request) -> None:
        """Do the job itself, in the server's loop and for its log."""
        await self.job()

    def note(self, what: str) -> None:
        self.log.setdefault(what, clock.now())

    async def start(self, server: LiveServer, job: Job, tried: str, times: int = 1) -> Call:
        self.job = job
        call = await posted(server, f"/start-it?times={times}")
        if call.status != 200:
            raise Probe(tried, "request.state.start(job) that returns").saw(**self._not_started(call))
        return call

    async def all_of_them(self) -> float:
        self.log.clear()
        async with self.answer.served(grace=GRACE) as server:
            started = clock.now()
            with all_logged(server):
                try:
                    await self.before_the_stop(server)
                    await self.beyond_drain(server, started)
                except NotYet as error:
                    if not self._limited_from_the_start():
                        raise
                    raise error.because(LIMIT_TOO_EARLY) from error
            return await self.stopping(server)

    async def before_the_stop(self, server: LiveServer) -> None:
        await self.in_time(server)
        await self.forgotten(server)
        await self.failing(server)
        await self.many(server)

    async def do(self, server: LiveServer, job: Job) -> None:
        self.job = job
        await posted(server, "/do-it")

    async def idle(self) -> None:
        async with self.answer.served(grace=GRACE) as server:
            pass
        if errors := server.errors:
            raise Probe(
                "to start the server, and to stop it, with no job at all", "a lifespan that comes to its end"
            ).saw(
                errors[0].strip().splitlines()[-1],
                "The lifespan fails when the server stops and no job runs. asyncio.wait() refuses an empty set, for "
                "one: look first whether there is anything to wait for."
                if any("ValueError" in line for line in errors)
                else "The lifespan fails when the server stops. Its last part must work with no job at all, too.",
            )

    async def in_time(self, server: LiveServer) -> None:
        async def job() -> None:
            if asyncio.get_running_loop() is not server.loop:
                self.note("elsewhere")
            await asyncio.sleep(JOB)
            self.note("first")

        tried = f"one job of {ms(JOB)}"
        call = await self.start(server, job, tried)
        if not await until(lambda: "first" in self.log, JOB + SOON):
            raise Probe(tried, "the job done").saw("it never was", self._never_ran())
        if self.log["first"] < call.end:
            raise Probe(tried, "an answer while the job runs").saw(
                f"the answer after {ms(call.latency)}, when the job was done",
                "The request waits for the job. start(job) only begins it: it makes a task of it, and returns.",
            )
        if "elsewhere" in self.log:
            raise Probe(tried, "the job on the server's own loop").saw(
                "a loop of its own, in another thread",
                "The job runs in a thread, on another loop. What it shares with the app, clients, locks, futures, "
                "belongs to the server's loop and does not work there. A task on the server's loop is enough.",
            )

    async def forgotten(self, server: LiveServer) -> None:
        waiting: WeakValueDictionary[str, asyncio.Future[None]] = WeakValueDictionary()

        async def job() -> None:
            confirmation = waiting["job"] = asyncio.get_running_loop().create_future()
            await confirmation
            self.note("confirmed")

        async def collect() -> None:
            gc.collect()
            if (confirmation := waiting.get("job")) is not None:
                confirmation.set_result(None)

        tried = "a job that nobody but its task knows of, and a garbage collection"
        await self.start(server, job, tried)
        await until(lambda: "job" in waiting, SOON)
        await self.do(server, collect)
        if not await until(lambda: "confirmed" in self.log, SOON):
            raise Probe(tried, "the job goes on").saw(
                "the job was gone: "
                + ("Task was destroyed but it is pending!" if "destroyed" in str(server.logs) else "collected"),
                "Nobody holds the task. The event loop knows its tasks by weak references only, so a task that is in "
                "nobody's hands can be collected in the middle of its work. Keep it until it is done.",
            )

    async def failing(self, server: LiveServer) -> None:
        failed = asyncio.Event()

        async def bystander() -> None:
            try:
                with contextlib.suppress(TimeoutError):  # who runs one job after another comes to the failing one now
                    async with asyncio.timeout(JOB):
                        await failed.wait()
                await asyncio.sleep(JOB / 2)
                self.note("bystander")
            except asyncio.CancelledError:
                self.note("bystander cancelled")
                raise

        async def fails() -> None:
            failed.set()
            raise LookupError("no such address: job-4711")

        async def after() -> None:
            self.note("after")

        tried = "a job that fails, while another one runs"
        await self.start(server, bystander, tried)
        await self.start(server, fails, tried)
        await until(lambda: {"bystander", "bystander cancelled"} & set(self.log), JOB + SOON)
        if "bystander cancelled" in self.log:
            raise Probe(tried, "the other job done").saw(
                "it was cancelled when the first one failed",
                "One job's failure ended the group, and with it every other job. A TaskGroup does that with what its "
                "children raise. Let nothing out of a child: catch, and log, in a wrapper around the job.",
            )
        await self.start(server, after, "a job after one that failed")
        if not ({"bystander", "after"} <= set(self.log) or await until(lambda: "after" in self.log, SOON)):
            raise Probe("a job after one that failed", "it runs").saw(
                "it never did",
                "Since a job has failed, no other runs: the failure ended what runs them. Catch it around each single "
                "job.",
            )

        def said() -> bool:
            lines = [line for line in list(server.logs) if not line.startswith(("INFO", "DEBUG"))]
            return any("job-4711" in line or "LookupError" in line for line in lines)

        await self.do(server, _collect)
        if not await until(said, SOON):
            raise Probe("a job that fails", "its failure in the log, as a warning or an error").saw(
                "nothing about it",
                "The failure is printed, not logged: a server's log has levels, and a place. Use the logger."
                if "job-4711" in printed()
                else "The job failed, and nobody was told. Where nobody awaits a task, its exception must be logged: "
                "logger.exception(…), in the `except` of a wrapper around the job.",
            )

    async def many(self, server: LiveServer) -> None:
        left: list[int] = []

        async def count() -> None:
            gc.collect()
            left.append(sum(isinstance(one, asyncio.Task) and one.done() for one in gc.get_objects()))

        await self.do(server, count)
        await self.start(server, _nothing, f"{MANY} short jobs", MANY)
        await self.do(server, count)
        if left[-1] - left[0] > KEPT:
            raise Probe(f"{MANY} short jobs, and a count of the tasks afterwards", "none of them kept").saw(
                f"{left[-1] - left[0]} finished tasks",
                "Every task is kept for ever, also when it is done: memory grows with each job, until the server is "
                "out of it. task.add_done_callback(tasks.discard) lets go of it; a TaskGroup does so by itself.",
            )

    async def beyond_drain(self, server: LiveServer, started: float) -> None:
        """A job that runs when the server has been up for longer than DRAIN."""

        async def job() -> None:
            try:
                await asyncio.sleep(max(0.0, started + DRAIN + 0.1 - clock.now()))
                self.note("went on")
            finally:
                self.note("went on or not")

        tried = f"a job that runs when the server has been up for {ms(DRAIN)}"
        await self.start(server, job, tried)
        await until(lambda: "went on or not" in self.log, DRAIN + SOON)
        if "went on" not in self.log:
            raise Probe(tried, "it goes on").saw(
                "it was cancelled",
                "The job was cancelled while the server runs, and nobody had asked for it. Jobs are cancelled when the "
                "server stops, and not before.",
            )

    async def stopping(self, server: LiveServer) -> float:
        async def finishes() -> None:
            self.note("began")
            while "stopping" not in self.log:
                await asyncio.sleep(0.005)
            await asyncio.sleep(JOB)
            self.note("drained")

        async def long() -> None:
            try:
                await asyncio.sleep(LONG)
                self.note("long done")
            finally:
                self.note("long ended")

        tried = f"to stop the server while two jobs run: one of {ms(JOB)}, and one of {LONG:g} s"
        await self.start(server, long, tried)
        await self.start(server, finishes, tried)
        await until(lambda: "began" in self.log, SOON)
        begun = clock.now()
        await asyncio.to_thread(server.stop)
        stopped = clock.now()
        begun = self.log.get("stopping", begun)
        ended = self.log.get("long ended", stopped) - begun
        if "began" not in self.log:
            raise Probe(tried, "the short one done").saw(
                "it had not even begun",
                "The jobs run one after another: a worker takes them out of a queue, and while one job lasts, the next "
                "one waits. Each job needs a task of its own.",
            )
        if "drained" not in self.log:
            raise Probe(tried, "the short one done").saw("it was cancelled", self._why_not_drained())
        if "long done" in self.log or ended > 2 * DRAIN:
            raise Probe(tried, "the long one cancelled after DRAIN seconds").saw(
                f"it ended after {ms(ended)}",
                "At the end, the jobs are waited for without a limit: one that never ends keeps the server from "
                "stopping, until it is killed. Give them DRAIN seconds, and then cancel what is left.",
            )
        return stopped - begun

    # which mistake it is

    def _not_started(self, call: Call) -> dict[str, str]:
        words = failure_in_words(call)
        if self._limited_from_the_start():
            words["diagnosis"] = LIMIT_TOO_EARLY
        elif "TaskGroup" in words["seen"] and "shutting down" in words["seen"]:
            words["diagnosis"] = (
                "The group takes no more jobs: it ended when a job failed. A TaskGroup ends with the first exception "
                "that leaves a child. Let nothing out of a child: catch, and log, in a wrapper around the job."
            )
        elif "start" in words["seen"] and "AttributeError" in words["seen"]:
            words["diagnosis"] = (
                "The lifespan must yield {'start': start}: what it yields is `request.state` in every request."
            )
        elif "TaskGroup" in words["seen"] and "finished" in words["seen"]:
            words["diagnosis"] = (
                "The group was over before the first request came: the `yield` must stand inside its block."
            )
        return words

    def _limited_from_the_start(self) -> bool:
        """Whether the `yield` stands in an asyncio.timeout that counts from the server's start."""
        around = [one for one in nodes(self.answer.source, ast.AsyncWith) if nodes(one, ast.Yield)]
        limits = [call for one in around for item in one.items for call in calls(item.context_expr, "timeout")]
        return any(ast.unparse(call.args[0]) != "None" for call in limits if call.args)

    def _never_ran(self) -> str:
        if self.is_async:
            return (
                "`start` is an `async def`: start(job) only makes a coroutine, which nobody awaits. The endpoints call "
                "it without `await`, so it must be a plain `def` that makes a task and returns."
            )
        if "was never awaited" in printed():
            return (
                "The job is a coroutine, and it was never awaited: nothing of it ran. create_task() makes a task of "
                "it, which the loop runs."
            )
        return "start(job) returned, and the job did not run to its end. Something must run it: a task, on the loop."

    def _why_not_drained(self) -> str:
        if calls(self.answer.source, "cancel") or calls(self.answer.source, "_abort"):
            return (
                "The jobs are cancelled as soon as the server stops, before they had their time. First wait for them, "
                "DRAIN seconds at most, and then cancel what is left."
            )
        return (
            "After the `yield`, nobody waits for the jobs that still run: the loop ends, and they with it, in the "
            "middle of their work. Wait for them there, DRAIN seconds at most."
        )


async def _nothing() -> None:
    """A job that is done at once."""


async def _collect() -> None:
    gc.collect()
