"""How the exercises of "The live laboratory" are judged."""

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from unittest.mock import patch

import httpx
import uvicorn
from fastapi import FastAPI

from workbench import clock
from workbench.judge import Answer, NotYet, Probe, TookTooLong, exercise, frames_of_the_cell, looking, ms, quoted
from workbench.server import serve

SLOW_START = 0.6  # seconds; half of it is too long to be back after a start
NAPS = 60  # that the slow start consists of: where short pauses take longer, an answer's and these do alike
LONGEST_START = 1.5 * SLOW_START  # seconds
TIME_TO_SAY = 2.0  # seconds that the learner's function has to return or raise
GIVEN_UP = 1.5 * TIME_TO_SAY  # seconds after which nobody waits for it any more


async def _start_slowly() -> None:
    latest = clock.now() + LONGEST_START
    for _ in range(NAPS):
        if clock.now() < latest:
            await asyncio.sleep(SLOW_START / NAPS)


class _Server(uvicorn.Server):
    """A uvicorn server that notes when it has started."""

    started_at = 0.0

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.started_at = clock.now()


class Started:
    """A uvicorn server in a thread, as the lesson builds it, and what the answer did while it started."""

    def __init__(self, *, slowly: bool = False, fails: bool = False) -> None:
        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[None]:
            if slowly:
                await _start_slowly()
            if fails:
                raise ConnectionError("no database")
            yield

        self.asked: list[str] = []
        app = FastAPI(lifespan=lifespan)

        @app.middleware("http")
        async def note(request: Any, call_next: Any) -> Any:
            self.asked.append(request.url.path)
            return await call_next(request)

        # asyncio's own loop, because uvloop's would go by another clock than the answer does
        config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", loop="asyncio")
        self.server = _Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.was_started = False  # when the answer was back
        self.began = self.returned_at = 0.0
        self.held: list[bool] = []

    @property
    def late_by(self) -> float:
        """Seconds from the server's start until the answer was back."""
        return self.returned_at - self.server.started_at if self.server.started_at else 0.0

    async def waited_for(self, answer: Answer) -> BaseException | None:
        """Start the server and call the answer. Returns what it raised; raises TookTooLong."""
        wait_started = await answer.load()

        async def work() -> None:
            try:
                ident = threading.get_ident()
                with looking(lambda: bool(frames_of_the_cell(ident))) as self.held:
                    waiting = wait_started(self.server, self.thread)
                    if waiting is not None:
                        await waiting
            finally:
                self.was_started, self.returned_at = self.server.started, clock.now()
                self.server.should_exit = True

        self.began = clock.now()
        self.thread.start()
        try:
            await answer.run(work, timeout=GIVEN_UP)
        except TookTooLong:
            raise
        except BaseException as error:
            return error
        finally:
            self.server.should_exit = True
        return None


@exercise(
    "Wait for a server that may never start",
    asks_for="wait_started",
    hints=[
        "What does a thread do with the SystemExit that uvicorn raises when the lifespan fails? What is "
        "`server.started` then, and what is `thread.is_alive()`?",
        "Look at two things in turn, with an awaited pause between two looks: has it started, is the thread alive?",
        "while not server.started: raise RuntimeError(...) if the thread has ended, else await asyncio.sleep(0.01).",
    ],
)
async def wait_started(answer: Answer) -> str:
    """A good app, one with a slow lifespan and one whose lifespan fails: an answer or an error in time, each time."""
    good = Started()
    try:
        error = await good.waited_for(answer)
    except TookTooLong as late:
        raise _endless(good, "a good app, which starts at once", late) from None
    if error is not None and not good.was_started:
        raise _taken_for_failed("a good app, which starts at once", error)
    if error is not None:
        raise Probe("a good app, which starts at once", "wait_started returns").saw(
            f"{type(error).__name__}: {error}",
            f"The server did start, and wait_started raised {type(error).__name__} all the same.",
        )
    if not good.was_started:
        raise _too_early("a good app, which starts at once")

    slow = Started(slowly=True)
    tried = f"an app whose lifespan takes {SLOW_START} s"
    try:
        error = await slow.waited_for(answer)
    except TookTooLong as late:
        raise _endless(slow, tried, late) from None
    if error is not None:
        raise _taken_for_failed(tried, error)
    if not slow.was_started:
        raise _too_early(tried)
    if sum(slow.held) > len(slow.held) / 2:
        raise Probe(
            f"{tried}, and to look now and then at what your loop does", "a loop that waits, free for others"
        ).saw(
            f"held by your code in {sum(slow.held)} of {len(slow.held)} looks",
            "The pause between two looks holds the loop: in a notebook, everything else stands still meanwhile. Await "
            "the pause: `await asyncio.sleep(0.01)`.",
        )
    if good.late_by > SLOW_START / 2:  # a fixed pause that is long enough for the slow one is twice as late
        raise Probe("a good app, which starts at once", "wait_started returns soon after the start").saw(
            f"it returned {good.late_by:.1f} s later",
            "A fixed pause is too long for one app and too short for another. Look again and again, after short "
            "pauses, and return as soon as it has started.",
        )

    broken = Started(fails=True)
    tried = "an app whose lifespan raises"
    try:
        error = await broken.waited_for(answer)
    except TookTooLong as late:
        raise _endless(broken, tried, late) from None
    if error is None:
        raise Probe(tried, "an error: this server never starts").saw(
            "wait_started returned as if all were well",
            "Whoever called wait_started believes now that the server is up. When its thread has ended and it is not "
            "started, raise an error.",
        )
    return f"A good start, a slow one, and a failure that was told after {ms(broken.returned_at - broken.began)}."


def _taken_for_failed(tried: str, error: BaseException) -> NotYet:
    return Probe(tried, "wait_started waits, and returns").saw(
        f"{type(error).__name__}: {error}",
        "A slow start was taken for a failed one. While its thread is alive, the server may yet start.",
    )


def _too_early(tried: str) -> NotYet:
    return Probe(tried, "wait_started returns once server.started is true").saw(
        "it returned before that",
        "The server had not started yet when wait_started returned: a pause of fixed length, or no waiting at all. "
        "Wait until `server.started` says so.",
    )


def _endless(started: Started, tried: str, late: TookTooLong) -> NotYet:
    if started.asked:
        why = (
            f"The app was asked for `{started.asked[0]}`, again and again. It has no such route, and never will: a "
            "server can be up without answering 200 there. Ask the server object, not the app."
        )
    elif not started.thread.is_alive():
        why = (
            "This server can never start: its thread ended with SystemExit, which a thread swallows, and "
            f"`server.started` stays False for ever. Your code did not notice: {late.where}."
        )
    else:
        why = f"The server had started, and wait_started was not back: {late.where}."
    return Probe(tried, f"an answer or an error within {TIME_TO_SAY:g} s").saw("neither", why)


CALLS = 8
MOST = CALLS // 2 + 1  # of the calls: so many are on their way at once, whatever makes them
TAKES = 0.1  # seconds
PATIENCE = 1.0  # seconds for which an answer is kept back until MOST calls are there
SPREAD = 0.6  # seconds between the shortest and the longest wait of the second burst


@exercise(
    "Measure a burst",
    asks_for="burst",
    hints=[
        "How many calls are on their way while your code awaits the first one?",
        "A small coroutine makes one call and measures it: its clock starts inside. asyncio.gather runs n of them.",
        "One `async with httpx.AsyncClient() as client:` around everything; gather returns the list.",
    ],
)
async def burst(answer: Answer) -> str:
    """Concurrent calls, each with its own latency, through one client."""
    app = FastAPI()
    served = itertools.count()
    here = 0
    most_here = asyncio.Event()

    @app.get("/same")
    async def same() -> None:
        nonlocal here
        here += 1
        if here >= MOST:
            most_here.set()
        await asyncio.sleep(TAKES)
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await most_here.wait()
        here -= 1
        most_here.set()  # whoever waited in vain was enough to see it

    @app.get("/staggered")
    async def staggered() -> None:
        last = CALLS - 1
        await asyncio.sleep(TAKES + SPREAD * (last - next(served)) / last)  # the first to come waits for longest

    built = 0
    build = httpx.AsyncClient.__init__

    def counting(self: httpx.AsyncClient, *args: Any, **kwargs: Any) -> None:
        nonlocal built
        built += 1
        build(self, *args, **kwargs)

    with serve(app, name="upstream") as server:
        tried = f"burst(url, {CALLS}) of an endpoint that takes {TAKES} s"
        with patch.object(httpx.AsyncClient, "__init__", counting):
            start = clock.now()
            latencies = _require_seconds(tried, await answer.call(f"{server.url}/same", CALLS, timeout=8))
            wall = clock.now() - start
        if (asked := len(server.record.requests)) != CALLS:
            raise Probe(tried, f"{CALLS} requests at the server").saw(
                f"{asked} requests", f"The server was asked {asked} times: each of the n calls is one GET of the url."
            )
        if built > 2:
            raise Probe(tried, "one client for all calls").saw(
                f"{built} clients were built",
                "Each call builds a client of its own. That costs tens of milliseconds of the processor each time, "
                "which your figures then contain: open one client around the burst.",
            )
        if (peak := server.record.peak()) < MOST:
            raise Probe(tried, f"{CALLS} calls on their way at once").saw(
                f"never more than {peak} at once, and the last answer after {wall:.1f} s",
                "The calls go one after another: each is awaited before the next one is made. Make all n first, and "
                "await them together."
                if peak == 1
                else f"Something lets only {peak} calls go at a time: a semaphore, a limit of connections, a few "
                "threads. All n belong on their way at once.",
            )
        tried = f"burst(url, {CALLS}) of an endpoint that takes {TAKES} to {TAKES + SPREAD:g} s"
        uneven = _require_seconds(tried, await answer.call(f"{server.url}/staggered", CALLS, timeout=8))
    # That one call begins after another makes them differ as well, and does so in the first burst.
    if _spread(uneven) - _spread(latencies) < SPREAD / 2:
        raise Probe(tried, f"latencies that differ by {SPREAD} s").saw(
            ", ".join(ms(one) for one in uneven[:4]) + ", …",
            "All calls have the same latency, so one clock was read once for all of them: it started before the burst "
            "and was read at its end. Start and read the clock inside the coroutine that makes one call.",
        )
    if not TAKES * 0.95 <= min(latencies) <= max(latencies) <= wall:
        raise Probe(
            f"burst(url, {CALLS}) of an endpoint that takes {TAKES} s",
            f"each latency between {TAKES} s and the {wall:.2f} s of the whole burst",
        ).saw(
            f"from {min(latencies):.3f} to {max(latencies):.3f}",
            "The figures are not the seconds that each call took. Read time.perf_counter() before and after the call, "
            "in seconds.",
        )
    return f"{CALLS} calls in {wall:.2f} s, most of them at once, and each with its own latency."


def _spread(seconds: list[float]) -> float:
    return max(seconds) - min(seconds)


def _require_seconds(tried: str, value: Any) -> list[float]:
    expected = f"a list of {CALLS} floats"
    if value is None:
        raise Probe(tried, expected).saw("None", "It returns nothing: is there a `return`?")
    try:
        seconds = [float(one) for one in value]
    except (TypeError, ValueError):
        raise Probe(tried, expected).saw(
            quoted(value),
            "What burst returns is not the latencies: return a list with the seconds that each call took.",
        ) from None
    if len(seconds) != CALLS:
        raise Probe(tried, expected).saw(
            f"{len(seconds)} of them", f"{CALLS} calls have {CALLS} latencies, one for each."
        )
    return seconds
