"""How the exercise "Slices by the clock" is judged."""

import asyncio
import contextlib
import inspect
import math
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from time import process_time, thread_time
from types import FrameType
from typing import Any
from unittest.mock import patch

from app_snippets.cpu_work.checks.common import (
    names_used,
    numbers_that_take,
    primes_between,
    start_of_large_numbers,
    watching_processes,
)
from app_snippets.cpu_work.work import is_prime
from workbench import clock
from workbench.around import Burst, burst
from workbench.clock import until
from workbench.judge import (
    FILE,
    Answer,
    NotYet,
    Probe,
    at_each_turn,
    exercise,
    failure_in_words,
    frames_of_the_cell,
    looking,
    ms,
)
from workbench.server import LiveServer

COMPUTES = 0.3  # seconds that a call computes, with as many numbers as that takes here and now
WITH_PAUSES = 0.04  # seconds: a call that takes so long has a few pauses
LONGEST_RUN = 1 / 4  # of the computing, without a turn of the loop; in a right answer 5 ms of 300, in a wrong one most
MOST_EXTRA = 2.0  # times what the same computing takes without a pause; a wrong answer takes 3 times or more
MOST_PAUSES = 1 / 20  # of the small numbers; every 5 ms there is one for hundreds of them
MOST_IDLE = 3 * COMPUTES  # seconds of pauses in one call; in a right answer 30 ms
GIVEN_UP = 10.0  # seconds after which nobody waits for a call any more


@dataclass
class Slept:
    """What the answer asked asyncio.sleep for, in seconds, and how many of these sleeps it only made."""

    delays: list[float] = field(default_factory=list)
    made: int = 0
    idle: float = 0.0  # seconds, all of them together

    def forget(self) -> None:
        """Begin with none."""
        self.delays.clear()
        self.made, self.idle = 0, 0.0


@contextlib.contextmanager
def watching_sleeps() -> Iterator[Slept]:
    """Note each asyncio.sleep of the cell."""
    slept = Slept()
    sleep = asyncio.sleep

    async def noted(delay: float, result: Any) -> Any:
        slept.delays.append(delay)
        slept.idle += delay
        return await sleep(delay, result)

    def noting_sleep(delay: float, result: Any = None) -> Any:
        if sys._getframe(1).f_code.co_filename != FILE:
            return sleep(delay, result)
        slept.made += 1
        pause = noted(delay, result)
        pause.__qualname__ = "sleep"
        return pause

    asyncio.sleep = noting_sleep  # type: ignore[assignment]
    try:
        yield slept
    finally:
        asyncio.sleep = sleep


@dataclass
class Turns:
    """What a server's loop computed between its turns: seconds of the processor in all, and at the most at once."""

    computed: float = 0.0
    longest: float = 0.0


@contextlib.contextmanager
def watching_turns(server: LiveServer) -> Iterator[Turns]:
    """Look at each turn of the server's loop, in which it looks what is to be done, how much was computed before it."""
    turns, since = Turns(), math.inf

    def ends(_: bool) -> None:
        computed = max(0.0, thread_time() - since)
        turns.computed, turns.longest = turns.computed + computed, max(turns.longest, computed)

    def begins() -> None:
        nonlocal since
        since = thread_time()

    with at_each_turn(server.loop, ends, begins):
        yield turns


@exercise(
    "Slices by the clock",
    asks_for="app",
    hints=[
        "The loop should get its turn when 5 ms of computing are over, however many numbers that was. What tells the "
        "time?",
        "Look at time.perf_counter() after each number: that costs far less than a pause does. Pause only if SLICE is "
        "over.",
        "`if time.perf_counter() - since > SLICE:` then `await asyncio.sleep(0)`, and `since` is read again.",
    ],
    deadline=20,
)
async def chunks(answer: Answer) -> str:
    """A loop that is never held for long, for small and large numbers, with little extra time."""
    with watching_processes() as started, watching_sleeps() as slept:
        async with answer.served() as server:
            await _require_right(answer, server)
            if started.processes:
                raise Probe("one call after another", "computing on the loop's own thread, in slices").saw(
                    "a worker process",
                    "A process pool keeps the ping short, and was the exercise before. Here the work has to stay where "
                    "its data is: on the loop, in slices.",
                )
            lags = [
                await _require_slices(answer, server, slept, "small", 0),
                await _require_slices(answer, server, slept, "large", start_of_large_numbers()),
            ]
            extra = await _require_little_extra(server, slept)
    more = "hardly any" if extra < 1.1 else f"{100 * (extra - 1):.0f} %"
    return f"The loop was held for {ms(max(lags))} at the longest, and it took {more} extra time."


async def _require_slices(answer: Answer, server: LiveServer, slept: Slept, what: str, start: int) -> float:
    """Seconds for which the loop was held at the longest in one call. Raises NotYet where it had too few turns."""
    size = numbers_that_take(COMPUTES, start)
    tried = f"{size:,} {what} numbers"
    slept.forget()
    ours = {threading.get_ident(), server.thread.ident}
    with looking(lambda: _compute_for_it(ours), every=0.01) as elsewhere, watching_turns(server) as turns:
        result = await _computed(server, slept, start, size)
    if result is None and slept.idle > MOST_IDLE:
        raise Probe(tried, f"pauses that are over at once: the numbers take {COMPUTES} s of computing").saw(
            f"pauses of {slept.idle:.1f} s, and no answer yet", _pauses_wait(slept)
        )
    if result is None:
        raise Probe(tried, "a pause when 5 ms are over").saw(
            f"more than {MOST_PAUSES * size:,.0f} pauses, and no answer yet",
            f"The loop was given back after each number, or after a few: {len(slept.delays):,} times so far. Each time "
            "costs a whole turn of the loop, which is more than a small number takes. Pause when 5 ms are over, and "
            "not before; then the clock is set back.",
        )
    _require_answered(result, tried)
    if sum(elsewhere) > 2:
        _refuse_threads(answer, tried)
    if turns.longest > LONGEST_RUN * turns.computed:
        raise Probe(tried, "a loop that has its turn again and again").saw(
            f"none for {ms(turns.longest)} of the {ms(turns.computed)} that were computed",
            _why_held(answer, slept, what),
        )
    return turns.longest


async def _computed(server: LiveServer, slept: Slept, start: int, size: int) -> Burst | None:
    """One call for so many numbers. None as soon as the answer has paused for too long, or too often."""
    most = MOST_PAUSES * size if start == 0 else math.inf
    calling = asyncio.create_task(burst(server, f"/primes?start={start}&limit={start + size}", 1, timeout=GIVEN_UP))
    await until(lambda: calling.done() or slept.idle > MOST_IDLE or len(slept.delays) > most, GIVEN_UP)
    if slept.idle <= MOST_IDLE and len(slept.delays) <= most:
        return await calling
    calling.cancel()
    return None


async def _require_right(answer: Answer, server: LiveServer) -> None:
    """A short call and a longer one, each alone, and two at once, all count right and look at each number once."""
    long = numbers_that_take(WITH_PAUSES, 0)
    for ranges in [[(2, 97)], [(53, long)], [(0, long), (long, long + long // 2)]]:  # 2, 53 and 97 are primes
        paths = [f"/primes?start={start}&limit={limit}" for start, limit in ranges]
        with _noting_numbers(answer) as looked_at:
            result = await burst(server, paths, len(paths), timeout=GIVEN_UP)
        try:
            _require_counts(result, ranges)
        except NotYet:
            for one in ranges:  # a count that is wrong in a pause can be right by chance: once more, each alone
                path = f"/primes?start={one[0]}&limit={one[1]}"
                _require_counts(await burst(server, path, 1, timeout=GIVEN_UP), [one])
            raise
        numbers = {number for start, limit in ranges for number in range(start, limit)}
        if looked_at and (lost := numbers - set(looked_at)):
            raise Probe(f"`{paths[-1]}`", "a look at each number").saw(
                f"none at {len(lost):,} of them, {min(lost):,} among these",
                "The count is not right any more, or by chance only: where the loop gets its turn, a number is passed "
                "over. Each number is looked at once, across the pauses too.",
            )


@contextlib.contextmanager
def _noting_numbers(answer: Answer) -> Iterator[list[int]]:
    """The numbers that the cell asks is_prime for. None where it does not."""
    looked_at: list[int] = []

    def noting(number: int) -> bool:
        looked_at.append(number)
        return is_prime(number)

    if answer["is_prime"] is not is_prime:
        yield looked_at
        return
    with patch.object(answer.module, "is_prime", noting):
        yield looked_at


def _require_counts(result: Burst, ranges: list[tuple[int, int]]) -> None:
    for call, (start, limit) in zip(result.calls, ranges, strict=True):
        tried, expected = f"`{call.path}`", str(primes_between(start, limit))
        _require_answered(result, tried)
        if call.body != expected.encode():
            raise Probe(tried if len(ranges) == 1 else f"{tried}, and another call meanwhile", f"`{expected}`").saw(
                f"`{call.text[:80]}`",
                "The count is not right any more. Each number from `start` up to, and without, `limit` is looked at "
                "once, across the pauses too."
                if len(ranges) == 1
                else "Alone, a call counts right, and beside another one it does not: in a pause, the other call goes "
                "on. What a call counts belongs into its own variables, and not where both of them write.",
            )


def _require_answered(result: Burst, tried: str) -> None:
    for call in result.calls:
        if call.status != 200:
            raise Probe(tried, "status 200").saw(**failure_in_words(call))


def _compute_for_it(ours: set[int | None]) -> bool:
    """Whether a thread that is none of ours computes for the answer now."""
    for ident, frame in sys._current_frames().items():
        inner: FrameType | None = None if ident in ours else frame
        while inner is not None and inner.f_code is not is_prime.__code__:
            inner = inner.f_back
        if inner is not None or (ident not in ours and frames_of_the_cell(ident)):
            return True
    return False


def _refuse_threads(answer: Answer, tried: str) -> None:
    how = (
        "A plain `def` is run in a worker thread, where no loop can be given a turn."
        if not inspect.iscoroutinefunction(answer["primes"])
        else "The numbers are counted in a worker thread."
    )
    raise Probe(tried, "computing on the loop's own thread, in slices").saw(
        "another thread computed",
        f"{how} There the GIL makes the loop queue for each of its steps, and data that belongs to the loop is touched "
        "by two threads. Stay on the loop, and pause.",
    )


def _why_held(answer: Answer, slept: Slept, what: str) -> str:
    if "sleep" in names_used(answer["primes"]) and not slept.delays and not _awaits_sleep(answer):
        return (
            "time.sleep, even of 0 seconds, gives the processor to another thread. The loop lives in this one, and "
            "only an `await` gives it a turn: await asyncio.sleep(0)."
        )
    if what == "large":  # the small ones went well
        return (
            "The pauses suit small numbers, and are too far apart for large ones. A count of numbers says little about "
            "time: a thousand small ones take a millisecond, a thousand large ones hundreds. Let the clock say when a "
            "slice is over."
        )
    if slept.made and not slept.delays:
        return (
            "asyncio.sleep(0) is called, and not awaited. The call alone makes a coroutine; it is the `await` that "
            "gives the loop its turn."
        )
    if not slept.delays and "sleep" in names_used(answer["primes"]):
        return (
            "There is a pause in the handler, but the computing came to its end before it was reached. A slice is over "
            "after 5 ms, and the next one begins with the clock set back."
        )
    if not slept.delays:
        return (
            "Nothing in the computation gives the loop back. An `async def` that never awaits what pauses runs through "
            "to its end."
        )
    if len(slept.delays) <= 4:
        return (
            "The loop gets one turn, or a few, and the rest is computed in one go. It needs a turn again and again, "
            "every 5 ms for as long as the computing goes on."
        )
    return (
        "The loop is given back, and still held for long: the pauses are too far apart, or only some of the computing "
        "has them. Let the clock say when a slice of 5 ms is over."
    )


def _awaits_sleep(answer: Answer) -> bool:
    return "asyncio" in names_used(answer["primes"])


async def _require_little_extra(server: LiveServer, slept: Slept) -> float:
    """What the answer computes and sleeps, as a multiple of the same loop with a look at the clock and no pause.

    In seconds of the processor, which do not grow when others have it.
    """
    limit = numbers_that_take(COMPUTES, 0)
    slept.forget()
    begun = process_time()
    for number in range(limit):
        is_prime(number)
        clock.now()
    plain = process_time() - begun
    begun = process_time()
    result = await burst(server, f"/primes?limit={limit}", 1, timeout=GIVEN_UP)
    extra = (process_time() - begun + slept.idle) / plain
    _require_counts(result, [(0, limit)])  # across many pauses
    if extra > MOST_EXTRA:
        raise Probe(
            f"{limit:,} small numbers, with pauses and without", "at most twice as long as without a pause"
        ).saw(
            f"{extra:.1f} times as long",
            _pauses_wait(slept)
            if slept.idle > plain / 3
            else "The loop is free, but the computing itself takes much longer than without pauses. What is done for "
            "each number must stay small: look at the clock, and no more.",
        )
    return extra


def _pauses_wait(slept: Slept) -> str:
    return (
        f"Each pause waits: {len(slept.delays)} sleeps of up to {ms(max(slept.delays))} are {ms(slept.idle)} in which "
        "nothing is computed. A pause of 0 seconds gives everyone a turn as well, and comes back at once."
    )
