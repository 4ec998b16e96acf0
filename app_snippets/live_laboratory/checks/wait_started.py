"""How the exercise "Wait for a server that may never start" is judged."""

import asyncio
import itertools
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI

from workbench import clock
from workbench.judge import (
    Answer,
    NotYet,
    Probe,
    TookTooLong,
    at_each_turn,
    calls,
    exercise,
    frames_of_the_cell,
    innermost,
    looking,
    ms,
    place_in_words,
    quoted,
)

SOON = 0.3  # seconds from what happens to the server until the learner's function must be back
# Seconds. One or the other comes soon after a look, where pauses double from 0.001, 0.01, 0.05 or 0.1 s on.
SLOW_START, FAILS_AFTER = 0.65, 0.37
NAP = 0.01  # seconds: a lifespan consists of naps: where short pauses take longer, an answer's and these do alike
LONGEST = 1.5  # times as long as it should take is what a lifespan takes at the most
GIVEN_UP = 1.5  # seconds after the end of the longest lifespan, when nobody waits for the learner's function any more
ASLEEP = 0.1  # of the turns of the answer's loop, before which it slept: a pause of any length makes that half of them
MOST_HELD = 5  # times that two looks in a row find the loop at the same place of the cell

SLIPS = (NameError, TypeError, AttributeError, ImportError)  # what nobody raises on purpose


class _Server(uvicorn.Server):
    """A uvicorn server that notes when it has started."""

    started_at = 0.0

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.started_at = clock.now()


class Started:
    """A uvicorn server in a thread, as the lesson builds it, and what the answer did while it started."""

    def __init__(self, tried: str, *, takes: float = 0.0, raises: bool = False, port: int = 0) -> None:
        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[None]:
            latest = clock.now() + LONGEST * takes
            for _ in range(round(takes / NAP)):
                if clock.now() < latest:
                    await asyncio.sleep(NAP)
            if raises:
                raise ConnectionError("no database")
            yield

        self.asked: list[str] = []
        app = FastAPI(lifespan=lifespan, openapi_url=None)  # no /docs, either

        @app.middleware("http")
        async def note(request: Any, call_next: Any) -> Any:
            self.asked.append(request.url.path)
            return await call_next(request)

        self.tried = tried
        self.takes = takes
        # asyncio's own loop, because uvloop's would go by another clock than the answer does
        config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="critical", loop="asyncio")
        self.server = _Server(config)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.was_started = False  # when the answer was back
        self.ended_at = self.returned_at = 0.0
        self.value: object = None  # what the answer returned
        self.turns: list[bool] = []  # of its loop: whether it slept before
        self.places: list[tuple[int, int] | None] = []  # of the cell, at which its loop was

    def _run(self) -> None:
        try:
            self.server.run()
        finally:
            self.ended_at = clock.now()

    @property
    def late_by(self) -> float:
        """Seconds from the server's start, or from its end where it never started, until the answer was back."""
        return self.returned_at - (self.server.started_at or self.ended_at)

    async def waited_for(self, answer: Answer) -> BaseException | None:
        """Start the server and call the answer. Returns what it raised. Raises NotYet where it does not come back."""
        wait_started = await answer.load()

        async def work() -> None:
            loop, ident = asyncio.get_running_loop(), threading.get_ident()
            try:
                with at_each_turn(loop, self.turns.append), looking(lambda: _place(ident)) as self.places:
                    waiting = wait_started(self.server, self.thread)
                    self.value = waiting if waiting is None else await waiting
            finally:
                self.was_started, self.returned_at = self.server.started, clock.now()
                self.server.should_exit = True

        self.thread.start()
        try:
            await answer.run(work, timeout=LONGEST * self.takes + GIVEN_UP)
        except TookTooLong as late:
            raise self._endless(answer, late) from None
        except BaseException as error:
            return error
        finally:
            self.server.should_exit = True
        return None

    def _endless(self, answer: Answer, late: TookTooLong) -> NotYet:
        if self.asked:
            why = (
                f"The app was asked for `{self.asked[0]}`, again and again. It has no such route, and never will: a "
                "server can be up without answering 200 there. Ask the server object, not the app."
            )
        elif not self.thread.is_alive():
            why = (
                "This server can never start: its thread ended with SystemExit, which a thread swallows, and "
                f"`server.started` stays False for ever. Your code goes on: {late.where}. "
            ) + (
                "`thread.is_alive` without its parentheses is a method, and always true."
                if "is_alive" in answer.source and not calls(answer.source, "is_alive")
                else "Between two looks at `server.started`, look at the thread, too, and raise when it has ended."
            )
        else:
            began = "The server had started" if self.server.started else "The server's thread was alive"
            why = f"{began}, and wait_started was not back: {late.where}. " + (
                "The thread of a server that is up ends only when the server is stopped."
                if ".join" in late.where
                else "Return as soon as `server.started` is true."
            )
        return Probe(self.tried, f"an answer or an error within {ms(SOON)}").saw("neither", why)


def _place(ident: int) -> tuple[int, int] | None:
    """Where in the cell a thread is, down to the instruction, None for nowhere."""
    return next(((id(frame), frame.f_lasti) for frame in frames_of_the_cell(ident)), None)


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
    """A good app, a slow one, and two that fail, at once and later: an answer or a RuntimeError soon, each time."""
    good = Started("a good app, which starts at once")
    await _require_return(good, answer)
    slow = Started(f"an app whose lifespan takes {SLOW_START} s", takes=SLOW_START)
    await _require_return(slow, answer)
    _require_free_loop(slow)
    if good.late_by > SOON:
        raise Probe(good.tried, "wait_started returns soon after the start").saw(
            f"it returned {good.late_by:.1f} s later",
            "A fixed pause is too long for one app and too short for another. Look again and again, after short "
            "pauses, and return as soon as it has started.",
        )
    if slow.late_by > SOON:
        raise Probe(slow.tried, "wait_started returns soon after the start").saw(
            f"it returned {slow.late_by:.1f} s later",
            "Its looks are too far apart by then: each pause is too long, or longer than the one before. Pauses may "
            "grow, up to a tenth of a second.",
        )
    with socket.create_server(("127.0.0.1", 0)) as taken:
        await _require_error(Started("an app whose port is taken", port=taken.getsockname()[1]), answer)
    late = Started(f"an app whose lifespan raises after {FAILS_AFTER} s", takes=FAILS_AFTER, raises=True)
    await _require_error(late, answer)
    return f"A good start, a slow one, and two failures, the last of them told after {ms(late.late_by)}."


async def _require_return(started: Started, answer: Answer) -> None:
    """The answer waits until the server has started, and returns. Raises NotYet."""
    error = await started.waited_for(answer)
    waits = Probe(started.tried, "wait_started waits, and returns")
    if error is not None:
        seen, why = _exception_in_words(error)
        if not why and started.was_started:
            why = f"The server did start, and wait_started raised {type(error).__name__} all the same."
        raise waits.saw(
            seen, why or "A slow start was taken for a failed one. While its thread is alive, the server may yet start."
        )
    if not started.was_started:
        raise Probe(started.tried, "wait_started returns once server.started is true").saw(
            "it returned before that",
            "The server had not started yet when wait_started returned: a pause of fixed length, or no waiting at "
            "all. Wait until `server.started` says so.",
        )


def _exception_in_words(error: BaseException) -> tuple[str, str]:
    """An exception with its line, and the diagnosis where the answer did not mean to raise it, else ""."""
    place = place_in_words(innermost(error.__traceback__))
    named = f"{type(error).__name__}: {error}".rstrip(": ")
    meant = isinstance(error, TimeoutError) or any(f"`{word}" in place for word in ("raise", "assert"))
    if meant and not isinstance(error, SLIPS):
        return named, ""
    return f"{named}, {place}".rstrip(", "), f"Your code itself failed with {named}. Fix that first."


def _require_free_loop(slow: Started) -> None:
    """While the answer waited, its loop was free, and slept between two looks. Raises NotYet."""
    looks = slow.places
    held = [place for place in looks if place]
    same = sum(one is not None and one == other for one, other in itertools.pairwise(looks))
    free = Probe(f"{slow.tried}, and to look now and then at what your loop does", "a loop that waits, free for others")
    if sum(slow.turns) < ASLEEP * len(slow.turns) and len(held) <= len(looks) / 2:
        raise free.saw(
            f"{len(slow.turns):,} turns of your loop, which slept before {sum(slow.turns)} of them",
            "Your loop looks again and again without a pause, and takes the processor from the server that it waits "
            "for. `asyncio.sleep(0)` gives others a turn, and does not sleep: `await asyncio.sleep(0.01)`.",
        )
    if same > MOST_HELD:
        raise free.saw(
            f"held by your code in {len(held)} of {len(looks)} looks",
            "Between two looks, your code holds the loop, with a pause that blocks it or with none: in a notebook, "
            "everything else stands still meanwhile. Await the pause: `await asyncio.sleep(0.01)`.",
        )


async def _require_error(failing: Started, answer: Answer) -> None:
    """The answer raises RuntimeError, soon after the server's thread has ended. Raises NotYet."""
    error = await failing.waited_for(answer)
    if error is None:
        seen = "as if all were well" if failing.value is None else quoted(failing.value)
        raise Probe(failing.tried, "RuntimeError: this server never starts").saw(
            f"wait_started returned {seen}",
            "Whoever called wait_started believes now that the server is up. When its thread has ended and it is not "
            "started, raise RuntimeError.",
        )
    told = Probe(failing.tried, f"RuntimeError within {ms(SOON)} of the end of its thread")
    if failing.late_by > SOON:
        raise told.saw(
            f"{type(error).__name__} after {ms(failing.late_by)}",
            "The server's thread had ended long before, and your code waited on: for a limit of time, or for its next "
            "look. How long a start takes is not known, but a thread that has ended starts nothing: look at it in "
            "each turn, between short pauses.",
        )
    if not isinstance(error, RuntimeError):
        seen, why = _exception_in_words(error)
        raise told.saw(
            seen,
            why
            or f"wait_started tells of the failure with {type(error).__name__}, and its docstring promises "
            "RuntimeError: whoever calls it waits for that one.",
        )
