"""How the exercise "Jobs that are looked after" is judged."""

import asyncio
import gc
import math
from dataclasses import dataclass
from weakref import WeakValueDictionary

from fastapi import FastAPI

from app_snippets.background_work.checks.common import all_logged, errors_in, posted, printed
from app_snippets.background_work.checks.jobs import FAILURES, Job, Jobs, collect, failing, nothing
from workbench import clock
from workbench.around import Call
from workbench.clock import until
from workbench.judge import Answer, NotYet, Probe, calls, exercise, failure_in_words, ms
from workbench.server import LiveServer

DRAIN = 0.5  # seconds that the answer gives to running jobs
SHORT = 0.6 * DRAIN  # seconds that a job needs when the server stops, and gets
LONG = 4 * DRAIN  # seconds that others need then, and do not get
MANY, KEPT = 60, 30  # short jobs; finished tasks that are still kept
GRACE = 3.0  # seconds that the server gives the lifespan before it ends it by force
SOON = 1.0  # seconds for what comes at once, or not at all
LASTING = ("lasting", "later", "last")  # jobs that run until the server stops


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
    """Jobs that are forgotten, fail, are many, last; and those that run when the server stops."""
    app = await answer.load()
    if not isinstance(app, FastAPI):
        raise Probe("`app`", "the FastAPI app").saw(
            type(app).__name__,
            "`app` is no longer the FastAPI app itself: the check adds an endpoint to it that starts jobs.",
        )
    trials = _Supervised(answer=answer)
    trials.enter(app)
    await trials.idle()
    async with answer.served(grace=GRACE) as server:
        with all_logged(server):
            try:
                await trials.while_it_runs(server)
            except NotYet as error:
                raise trials.known_better(error) from error
            seconds = await trials.stopping_it(server)
    return f"Nothing was collected, no failure ended anything else, and the server stopped in {ms(seconds)}."


@dataclass
class _Supervised(Jobs):
    answer: Answer

    # what is tried

    def lasting(self, name: str) -> Job:
        return self.job(name, self.stopping.wait, lambda: asyncio.sleep(LONG))

    async def start(self, server: LiveServer, tried: str, *jobs: Job) -> Call:
        self.jobs = list(jobs)
        call = await posted(server, "/start-them")
        if call.status != 200:
            raise Probe(tried, "request.state.start(job) that returns").saw(**self._not_started(call))
        return call

    async def begun(self, tried: str, *names: str) -> None:
        if not await until(lambda: all(f"{name} began" in self.log for name in names), SOON):
            raise Probe(tried, "each job begun").saw("it has not begun", self._why_not_begun())

    async def idle(self) -> None:
        async with self.answer.served(grace=GRACE):
            pass
        tried = "to start the server, and to stop it, with no job at all"
        if self.raised:
            raise Probe(tried, "a lifespan that comes to its end").saw(
                f"{type(self.raised).__name__}: {self.raised}",
                "The lifespan fails when the server stops and no job runs. asyncio.wait() refuses an empty set, for "
                "one: look first whether there is anything to wait for."
                if isinstance(self.raised, ValueError)
                else "The lifespan fails when the server stops. Its last part must work with no job at all, too.",
            )
        if (seconds := self.log["ended"] - self.log["stopping"]) > DRAIN / 2:
            raise Probe(tried, "a stop at once").saw(
                f"it took {ms(seconds)}",
                "No job runs, and the stop takes its time nevertheless. DRAIN is the most that jobs get: wait for the "
                "jobs, with that limit, and not for the time to pass.",
            )

    async def while_it_runs(self, server: LiveServer) -> None:
        await self.at_once(server)
        tried = "two jobs that last until the server stops"
        await self.start(server, tried, self.lasting("lasting"))
        await self.begun(tried, "lasting")
        await self.forgotten(server)
        await self.failing(server)
        await self.many(server)
        await self.start(server, tried, self.lasting("later"))
        await self.begun(tried, "later")
        long_enough = self.log["lasting began"] + 1.2 * DRAIN
        await until(lambda: clock.now() > long_enough or "lasting cancelled" in self.log, 2 * DRAIN)
        if "lasting cancelled" in self.log:
            raise Probe(tried, "both go on").saw("it was cancelled", "The job was cancelled while the server runs.")

    async def at_once(self, server: LiveServer) -> None:
        answered: list[Call] = []
        elsewhere: list[bool] = []

        async def waits_for_the_answer() -> None:
            elsewhere.append(asyncio.get_running_loop() is not server.loop)
            await until(lambda: answered, DRAIN)

        tried = "one job"
        answered += [await self.start(server, tried, self.job("first", waits_for_the_answer))]
        await self.begun(tried, "first")
        if not await until(lambda: "first done" in self.log, SOON):
            raise Probe(tried, "the job done").saw("it began, and never came to its end", self._why_not_begun())
        if self.log["first done"] < answered[0].end:
            raise Probe(tried, "an answer while the job runs").saw(
                f"the answer after {ms(answered[0].latency)}, when the job was done",
                "The request waits for the job. start(job) only begins it: it makes a task of it, and returns.",
            )
        if any(elsewhere):
            raise Probe(tried, "the job on the server's own loop").saw(
                "a loop of its own, in another thread",
                "The job runs in a thread, on another loop. What it shares with the app, clients, locks, futures, "
                "belongs to the server's loop and does not work there. A task on the server's loop is enough.",
            )

    async def forgotten(self, server: LiveServer) -> None:
        waiting: WeakValueDictionary[str, asyncio.Future[None]] = WeakValueDictionary()

        def waits(name: str) -> Job:
            async def for_confirmation() -> None:
                confirmation = waiting[name] = asyncio.get_running_loop().create_future()
                await confirmation

            return self.job(name, for_confirmation)

        async def collect() -> None:
            gc.collect()
            for confirmation in list(waiting.values()):
                confirmation.set_result(None)

        tried = "two jobs that only their own tasks know of, and a garbage collection"
        names = ("one", "other")
        await self.start(server, tried, *map(waits, names))
        await self.begun(tried, *names)
        await self.do(server, collect)
        if not await until(lambda: all(f"{name} done" in self.log for name in names), SOON):
            left = sum(f"{name} done" in self.log for name in names)
            raise Probe(tried, "both go on").saw(
                f"{'one' if left else 'both'} gone: "
                + ("Task was destroyed but it is pending!" if "destroyed" in str(server.logs) else "collected"),
                "One of the tasks is held, and the other is in nobody's hands: a name, or a place, for one task holds "
                "only the last one put there. Keep all of them, each until it is done."
                if left
                else "Nobody holds the task. The event loop knows its tasks by weak references only, so a task that is "
                "in nobody's hands can be collected in the middle of its work. Keep it until it is done.",
            )

    async def failing(self, server: LiveServer) -> None:
        if well := errors_in(server):
            raise Probe("jobs that do not fail", "no warning in the log").saw(
                well.splitlines()[0],
                "The log has a warning or an error, and no job has failed yet. Log what an `except` has caught.",
            )
        tried = "two jobs that fail, while another one runs"
        await self.start(server, tried, self.job("at once", failing(1)), self.job("soon", nothing, failing(2)))
        await self.begun(tried, "at once")
        await self.do(server, collect)
        await until(lambda: "lasting cancelled" in self.log or not self.unsaid(server, 1, 2), SOON)
        unsaid = self.unsaid(server, 1, 2)
        if "lasting cancelled" in self.log:
            raise Probe(tried, "the other job goes on").saw(
                "it was cancelled when one failed",
                self._why_unsaid(server, [2])
                if "soon began" in self.log
                else "One job's failure ended the group, and with it every other job. A TaskGroup does that with what "
                "its children raise. Let nothing out of a child: catch, and log, in a wrapper around the job.",
            )
        tried = "a job after one that failed"
        await self.start(server, tried, self.job("after"))
        await self.begun(tried, "after")
        if unsaid:
            raise Probe("two jobs that fail", "each failure in the log, as a warning or an error").saw(
                "nothing about either" if len(unsaid) > 1 else "one of them", self._why_unsaid(server, unsaid)
            )

    async def many(self, server: LiveServer) -> None:
        left: list[int] = []

        async def count() -> None:
            gc.collect()
            left.append(sum(issubclass(type(one), asyncio.Task) and one.done() for one in gc.get_objects()))

        await self.do(server, count)
        await self.start(server, f"{MANY} short jobs", *[nothing] * MANY)
        await self.do(server, count)
        if left[-1] - left[0] > KEPT:
            raise Probe(f"{MANY} short jobs, and a count of the tasks afterwards", "none of them kept").saw(
                f"{left[-1] - left[0]} finished tasks",
                "Every task is kept for ever, also when it is done: memory grows with each job, until the server is "
                "out of it. task.add_done_callback(tasks.discard) lets go of it; a TaskGroup does so by itself.",
            )

    async def stopping_it(self, server: LiveServer) -> float:
        tried = f"to stop the server while five jobs run: one needs {ms(SHORT)} more, three need {LONG:g} s, one fails"
        short = self.job("short", self.stopping.wait, lambda: asyncio.sleep(SHORT))
        fails = self.job("fails", self.stopping.wait, lambda: asyncio.sleep(SHORT / 2), failing(3))
        await self.start(server, tried, fails, short, self.lasting("last"))
        await self.begun(tried, "fails", "short", "last")
        await asyncio.to_thread(server.stop)
        gc.collect()
        begun = self.log["stopping"]
        ends = [self.log.get(f"{name} cancelled", begun + LONG) - begun for name in LASTING]
        if max(ends) > 2 * DRAIN:
            raise Probe(tried, f"the long ones cancelled after DRAIN, {ms(DRAIN)}").saw(
                f"the last one ended after {ms(max(ends))}", self._why_too_late()
            )
        if "short done" not in self.log or min(ends) < 0.8 * DRAIN:
            raise Probe(tried, f"the short one done, the long ones cancelled after DRAIN, {ms(DRAIN)}").saw(
                f"the short one {'done' if 'short done' in self.log else 'not done'}, "
                f"a long one cancelled after {ms(min(ends))}",
                self._why_too_early(min(ends)),
            )
        last_end = max(self.log.get(f"{name} cancelled", math.inf) for name in LASTING)
        if last_end > self.log["ended"] and not self.cancelled:
            raise Probe(tried, "the long ones cancelled when the lifespan ends").saw(
                "they ran on, until the server's loop ended",
                "The jobs had their time, and nobody cancels those that are left: asyncio.wait() with a timeout "
                "cancels nothing, it only stops waiting. task.cancel() for each of them, and wait until they have "
                "ended.",
            )
        if self.raised:
            raise Probe(tried, "a lifespan that comes to its end").saw(
                f"{type(self.raised).__name__}: {self.raised}",
                f"{type(self.raised).__name__} leaves the lifespan when the limit is reached, and the server takes it "
                "for a stop that failed. Jobs that need longer than DRAIN are to be expected: catch it.",
            )
        if unsaid := self.unsaid(server, 3):
            raise Probe(tried, "the failure in the log").saw("nothing about it", self._why_unsaid(server, unsaid))
        return self.log["ended"] - begun

    # which mistake it is

    def known_better(self, error: NotYet) -> NotYet:
        """The same, where lasting jobs were cancelled by a limit: whatever was seen then came of that."""
        ended = self.log.get("lasting cancelled")
        if ended is None:
            return error
        limit = self.log["lasting began"] + DRAIN
        if abs(ended - limit) > abs(ended - self.log.get("at once began", 0)):
            return error
        return error.because(
            "The limit counts from the start of the server: DRAIN seconds later every job is cancelled, while the "
            "server still runs. Let the limit begin after the `yield`: asyncio.timeout(None), and "
            "budget.reschedule(…) there."
            if "later cancelled" in self.log or "later began" not in self.log
            else "The limit counts from the start of each job: DRAIN seconds later it is cancelled, while the server "
            "still runs. A job may last as long as it likes until the server stops; from then on, DRAIN seconds."
        )

    def _not_started(self, call: Call) -> dict[str, str]:
        words = failure_in_words(call)
        if "TaskGroup" in words["seen"] and "shutting down" in words["seen"]:
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
        elif call.status is None and "first began" in self.log:
            words["diagnosis"] = (
                "The request waits for the job. start(job) only begins it: it makes a task of it, and returns."
            )
        return words

    def _why_not_begun(self) -> str:
        if self.is_async:
            return (
                "`start` is an `async def`: start(job) only makes a coroutine, which nobody awaits. The endpoints call "
                "it without `await`, so it must be a plain `def` that makes a task and returns."
            )
        if "at once began" in self.log and "after began" not in self.log:
            return (
                "Since a job has failed, no other runs: the failure ended what runs them. Catch it around each single "
                "job."
            )
        if "lasting began" in self.log:
            return (
                "The jobs run one after another, or only so many at once: while those last, the next one waits, in the "
                "queue of a worker or for a semaphore. Each job needs a task of its own, which begins at once."
            )
        if "was never awaited" in printed():
            return (
                "The job is a coroutine, and it was never awaited: nothing of it ran. create_task() makes a task of "
                "it, which the loop runs."
            )
        return "start(job) returned, and the job has not begun. Something must run it: a task, on the loop."

    def _why_unsaid(self, server: LiveServer, unsaid: list[int]) -> str:
        if any(str(FAILURES[number]) in printed() for number in unsaid):
            return "The failure is printed, not logged: a server's log has levels, and a place. Use the logger."
        if 3 in unsaid:
            return (
                "Failures are logged while the server runs, and no longer when it stops. The jobs that run then can "
                "fail, too: the wrapper around each job is the place to log it."
            )
        if len(unsaid) == 1:
            return (
                "One failure was caught and logged, and the other was not. Every job can fail, at once or later, and "
                "in any way: guard each of them, against every Exception."
            )
        if errors_in(server):
            return (
                "The log has a line, and the exception is not in it: it does not say why the job failed. "
                "logger.exception(…), called in the `except` block, adds the exception and where it was raised."
            )
        if calls(self.answer.source, "info") or calls(self.answer.source, "debug"):
            return (
                "The failure is logged at a level that is not shown: by default, Python shows warnings and above. A "
                "job that failed is an error."
            )
        return (
            "The job failed, and nobody was told. Where nobody awaits a task, its exception must be logged: "
            "logger.exception(…), in the `except` of a wrapper around the job."
        )

    def _why_too_late(self) -> str:
        if any(f"{name} done" in self.log for name in LASTING):
            return (
                "At the end, the jobs are waited for without a limit: one that never ends keeps the server from "
                "stopping, until it is killed. Give them DRAIN seconds, and then cancel what is left."
            )
        return (
            "The jobs are waited for one after another, and each gets DRAIN seconds more: with a hundred jobs, the "
            "stop takes a hundred times as long. One limit goes around all of them: asyncio.wait(tasks, "
            "timeout=DRAIN), or one timeout."
        )

    def _why_too_early(self, seconds: float) -> str:
        if isinstance(self.raised, type(FAILURES[3])):
            return (
                "A job that failed after the `yield` ended the wait, and the other jobs with it: gather() and "
                "`await task` raise what a job raises. Catch, and log, in a wrapper around each job."
            )
        if seconds > 0.2 * DRAIN:
            return (
                f"The jobs got {ms(seconds)} of their {ms(DRAIN)}. Wait until all of them are done, or DRAIN seconds "
                "have passed: neither a first one that is done, nor another limit, may end that."
            )
        if calls(self.answer.source, "reschedule") or calls(self.answer.source, "timeout_at"):
            return (
                "The limit had passed when it was set: it is a moment of the loop's clock, and no number of seconds. "
                "DRAIN seconds from now is asyncio.get_running_loop().time() + DRAIN."
            )
        if self.cancelled or self.log["ended"] > max(self.log.get(f"{name} cancelled", 0) for name in LASTING):
            return (
                "The jobs are cancelled as soon as the server stops, before they had their time. First wait for them, "
                "DRAIN seconds at most, and then cancel what is left."
            )
        return (
            "After the `yield`, nobody waits for the jobs that still run: the loop ends, and they with it, in the "
            "middle of their work. Wait for them there, DRAIN seconds at most."
        )
