"""How the exercise "A loop-lag monitor" is judged."""

import asyncio
import contextlib
import inspect
from dataclasses import dataclass
from typing import Any

import httpx

from app_snippets.blocking_and_waiting.checks.life import INTERVAL, Life
from workbench import clock
from workbench.clock import until
from workbench.judge import (
    Answer,
    NotYet,
    Probe,
    calls,
    exercise,
    held_at,
    innermost,
    line_of_the_loop,
    looking,
    ms,
    place_in_words,
    tasks_of_the_cell,
    threads_in_the_cell,
)
from workbench.server import LiveServer

ALIKE = INTERVAL / 5  # seconds by which two that sleep on one loop may come back apart
TOO_LONG = 0.4 * INTERVAL  # seconds by which the monitor may show more than the bench's own
LONG, SHORT = 4 * INTERVAL, INTERVAL  # seconds for which the bench itself holds the loop, after /bad
OK = "`GET /ok`, which leaves the loop free"
BAD = "`GET /bad`, which holds the loop for 250 ms"
STALLS = f"{BAD}, and then two more stalls, of {ms(LONG)} and {ms(SHORT)}"


@exercise(
    "A loop-lag monitor",
    asks_for="app",
    hints=[
        "If the loop is free, how long does `await asyncio.sleep(INTERVAL)` take? And if it was held meanwhile?",
        "The delay is what the clock says, less the sleep that was asked for.",
        "asyncio.create_task(watch(lag)) before the yield, task.cancel() after it.",
    ],
)
async def lag(answer: Answer) -> str:
    """The longest lag is the bench's own, after no stall, one and three; with the server, the monitor ends."""
    life = Life()
    router = getattr(await answer.load(), "router", None)
    if router is not None:
        router.lifespan_context = life.followed(router.lifespan_context)
    try:
        async with answer.served() as server, server.client(timeout=2) as client:
            summary = await _Monitor(answer, server, client, life).agrees()
    except NotYet as error:
        if life.never_begins:
            raise Probe("to start a server with your app", "a lifespan that comes to its `yield`").saw(
                f"it waits at {life.never_begins}",
                "The lifespan waits there for something that does not end, so it never comes to its `yield`, and no "
                "request is served. What is to run beside the requests is started, and not awaited: "
                "asyncio.create_task(watch(lag)).",
            ) from error
        raise
    life.require_its_end()
    return summary


@dataclass
class _Monitor:
    answer: Answer
    server: LiveServer
    client: httpx.AsyncClient
    life: Life
    peak: float = 0.0  # seconds, the longest that /lag has shown

    async def agrees(self) -> str:
        """It shows what the bench's own shows, or nearly. Returns the sentence of a pass, or raises NotYet."""
        await self.shown()
        with looking(self.at_work) as looks, contextlib.suppress(httpx.HTTPError):  # /lag says it, then
            await self.client.get("/ok")
        if line := held_at([line for line, _ in looks]):
            raise Probe(OK, "a free loop").saw(
                f"it is held at {line}",
                "The monitor itself holds the loop there, again and again. It awaits its sleep: `await "
                "asyncio.sleep(INTERVAL)`.",
            )
        quiet, allowed = await self.shown(), self.held() + TOO_LONG
        await self.client.get("/bad")
        noticed, first = await self.notices(2 * INTERVAL), self.peak
        self.require_seconds()
        ok = Probe(OK, f"a longest lag below {ms(allowed)}")
        if quiet >= allowed:
            before = await self.shown()
            await asyncio.sleep(2 * INTERVAL)
            grows = await self.shown() > before + INTERVAL / 2
            raise ok.saw(
                ms(quiet),
                "With a free loop, the lag grows with every round: the clock is read once, and all sleeps since then "
                "count. Read it again before each sleep."
                if grows
                else "The monitor counts its own sleep, or some of it: with a free loop it reports a lag. The lag is "
                "what the sleep took beyond what was asked for.",
            )
        if sum(busy for _, busy in looks) > len(looks) / 2:
            raise ok.saw(
                "a monitor that wants a turn of the loop all the time",
                "The monitor does not sleep: it asks for its next turn at once, and keeps the processor busy for "
                "nothing. Let it sleep for INTERVAL between two looks at the clock.",
            )
        if not noticed:
            raise self.unnoticed(BAD, self.why_unnoticed())
        if first > self.held() + TOO_LONG:
            raise Probe(BAD, f"a longest lag of {ms(self.held())} at the most").saw(
                ms(first),
                "The monitor tells of more than the loop was held for: it counts some of its own sleep. Take off what "
                "it asked for, which is what it sleeps.",
            )
        await self.hold(LONG)
        if not await self.notices(LONG - INTERVAL / 2):
            raise self.unnoticed(STALLS, self.why_unnoticed(once=True))
        await asyncio.sleep(INTERVAL / 2)  # so that the next stall goes on for longer than the monitor sleeps
        await self.hold(SHORT)
        await asyncio.sleep(INTERVAL)
        last = await self.shown()
        stays = Probe(STALLS, f"a longest lag of about {ms(self.held())}, and it stays")
        if self.peak > self.held() + TOO_LONG:
            raise stays.saw(
                f"{ms(first)} after the first, {ms(self.peak)} at the end",
                "After one stall the lag was right, and after three it is longer than any of them, as if they were "
                "added up. Keep the longest one.",
            )
        if last < self.peak:
            raise stays.saw(
                f"{ms(self.peak)}, then {ms(last)}",
                "The stall is seen and forgotten: only the last value is kept, or the longest one fades. Keep the "
                "longest one.",
            )
        if self.life.tasks and all(task.done() for task in self.life.tasks):
            raise Probe(STALLS, "a monitor that goes on").saw(
                "it has ended", _how_it_ended(next(iter(self.life.tasks)))
            )
        return f"Free loop: {ms(quiet)}. After /bad: {ms(first)}. At the end: {ms(last)}."

    def at_work(self) -> tuple[str, bool]:
        """The line of the cell that the loop is at, and whether a task of the cell wants its next turn at once."""
        return line_of_the_loop(self.server), any(map(_wants_a_turn, tasks_of_the_cell(self.server)))

    def held(self) -> float:
        """Seconds that the server's loop was held at the longest since it started, by the bench's own monitor."""
        return self.server.record.longest_lag(0, clock.now())

    async def hold(self, seconds: float) -> None:
        """Hold the server's loop, as a blocking call would."""
        assert self.server.loop
        self.server.loop.call_soon_threadsafe(clock.sleep, seconds)
        await asyncio.sleep(seconds)

    async def notices(self, at_least: float) -> bool:
        """Whether /lag shows a stall of `at_least` seconds that the bench sees, or nearly, within a while."""
        await until(lambda: self.held() > at_least, 0.5)  # it sees it when the loop has its next turn

        async def noticed() -> bool:
            return await self.shown() >= self.held() - INTERVAL - ALIKE

        return await until(noticed, 12 * INTERVAL)

    async def shown(self) -> float:
        """What /lag says, in seconds."""
        try:
            reply = await self.client.get("/lag")
        except httpx.HTTPError as error:
            line = line_of_the_loop(self.server)
            raise Probe("`GET /lag`", "an answer").saw(
                f"{type(error).__name__}, {line}".rstrip(", "),
                "The server does not answer any more: the loop is held there. The monitor must await its sleep, or "
                "nobody else gets a turn."
                if line
                else "`/lag` does not answer any more. Leave it as it was: it waits for nothing.",
            ) from None
        try:
            longest = float(reply.json()["longest"])
        except (ValueError, KeyError, TypeError):
            raise Probe("`GET /lag`", 'JSON with a number, `{"longest": 0.0}`').saw(
                f"{reply.status_code}, `{reply.text[:80]}`",
                "`/lag` must still answer with the longest delay, in seconds.",
            ) from None
        self.peak = max(self.peak, longest)
        return longest

    def require_seconds(self) -> None:
        """The lag is not far longer than any stall was. Raises NotYet."""
        if self.peak > 10 * self.held():
            raise Probe(BAD, f"a longest lag of about {self.held():.2f} s").saw(
                f"{self.peak:,.0f} s",
                "The lag is far longer than the loop was ever held. `/lag` answers in seconds: is the difference taken "
                "from the same clock, and in that unit?",
            )

    def unnoticed(self, tried: str, why: str) -> NotYet:
        """What to raise when /lag shows too little."""
        return Probe(tried, f"a longest lag of {ms(self.held() - INTERVAL)} or more, and it stays").saw(
            f"at most {ms(self.peak)}", why
        )

    def why_unnoticed(self, *, once: bool = False) -> str:
        """once: the first stall was noticed, and a longer one after it was not."""
        if ended := [task for task in self.life.tasks if task.done()]:
            return _how_it_ended(ended[0])
        if threads_in_the_cell():
            return (
                "A thread watches the clock, and a thread goes on while the loop is held: time.sleep() lets other "
                "threads run. Only what runs on the loop itself can tell how long the loop was held."
            )
        watching = tasks_of_the_cell(self.server)
        if not watching:
            return (
                "`watch` does not run: no task of yours is on the loop. Calling an `async def` only makes a coroutine; "
                "asyncio.create_task() starts it, before the `yield`."
            )
        if any(value > self.peak + ALIKE for task in watching for value in _kept_by(task)):
            return (
                "The monitor notices it, and keeps it where `/lag` does not look: in another Lag. `watch` gets the one "
                "that the lifespan yields, and `/lag` answers with that."
            )
        if once:
            return (
                "A stall was noticed, and a longer one that came later was not. The monitor goes on for as long as the "
                "server runs, and keeps the longest of all, whatever held the loop."
            )
        return _what_it_measures(self.answer, self.peak)


def _wants_a_turn(task: "asyncio.Task[Any]") -> bool:
    """Whether a task waits for nothing: the loop goes on with it in its next round."""
    return not task.done() and task._fut_waiter is None  # type: ignore[attr-defined]  # there is no other way to know


def _how_it_ended(task: "asyncio.Task[Any]") -> str:
    name = f"`{getattr(task.get_coro(), '__name__', 'the monitor')}`"
    if task.cancelled():
        return (
            f"{name} does not run any more: its task was cancelled while the server still ran. What stands before the "
            "`yield` happens at the start, and task.cancel() belongs behind it."
        )
    if error := task.exception():
        line = place_in_words(innermost(error.__traceback__))
        return (
            f"{name} has ended with {type(error).__name__}: {error}".rstrip(": ") + f", {line}".rstrip(", ") + ". A "
            "task that fails says nothing as long as nobody awaits it."
        )
    if inspect.iscoroutine(task.result()):
        return (
            f"{name} has called an `async def`, and so made a coroutine that nobody runs. The monitor lives on the "
            "loop itself: asyncio.create_task(watch(lag))."
        )
    return f"{name} has come to its end while the server still runs. It looks again and again: a loop that goes on."


def _kept_by(task: "asyncio.Task[Any]") -> list[float]:
    """The lags that the coroutine of a task has in its variables."""
    values = [value for frame in task.get_stack(limit=1) for value in frame.f_locals.values()]
    return [value.longest for value in values if isinstance(getattr(value, "longest", None), float)]


def _what_it_measures(answer: Answer, shown: float) -> str:
    """Why a monitor that runs has shown no more than that; the source says which of the usual mistakes it may be."""
    interval = answer["INTERVAL"]
    if isinstance(interval, int | float) and interval > INTERVAL:
        return (
            f"INTERVAL is {interval} now: of a stall, the monitor misses as much as it sleeps. Leave it at {INTERVAL}."
        )
    if calls(answer.source, "min"):
        return (
            "The monitor runs, and keeps the least of what it measures: min() takes the shortest lag. Keep the longest."
        )
    if calls(answer.source, "process_time") or calls(answer.source, "thread_time"):
        return (
            "The monitor runs, but its clock counts the processor's time only, and a sleep takes none. "
            "time.perf_counter() counts the time that passes."
        )
    if shown <= 0:
        return (
            "The monitor runs, and `/lag` has never shown more than 0: what it takes for the lag is never above that, "
            "or it never comes into `lag.longest`. The lag is the time after the sleep, less the time before it, less "
            "INTERVAL: print it in `watch`."
        )
    return (
        "The monitor runs, and shows too little of the stall. Look at the clock right before the sleep and right after "
        "it, take off INTERVAL, and keep the longest lag as it is: an average or a part of it says little of a stall."
    )
