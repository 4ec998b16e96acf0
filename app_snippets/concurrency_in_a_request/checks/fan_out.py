"""How the exercise "Two hundred, ten at a time" is judged."""

import asyncio
import contextlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from time import thread_time
from typing import Any
from unittest.mock import patch

from workbench import clock
from workbench.clock import until
from workbench.judge import Answer, Probe, exercise, innermost, ms, place_in_words, quoted

LIMIT = 10
QUICK, LONG = 0.01, 0.1  # seconds; every tenth id takes long
ENOUGH = 1.0  # seconds of waiting for 200 ids: ten places in good use need less than half, and rounds of ten twice that
AFTERWARDS = 0.3  # seconds in which tasks that were left behind begin another fetch; the others are over in 0.05


@dataclass
class _Service:
    """What `fetch` asks. It counts who is in."""

    seconds: dict[int, float]
    fails: int | None = None
    begun: list[int] = field(default_factory=list)
    in_flight: int = 0
    peak: int = 0
    rounds: int = 0  # how often somebody came in while nobody was
    left_at: float = 0.0  # when the last one was out

    async def fetch(self, id: int) -> str:
        self.begun.append(id)
        self.rounds += self.in_flight == 0
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            await asyncio.sleep(self.seconds[id])
            if id == self.fails:
                raise ConnectionError(f"no price for {id}")
        finally:
            self.in_flight -= 1
            self.left_at = clock.now()
        return f"price of {id}"


@dataclass
class _Made:
    """What the answer made use of: only to choose the words."""

    semaphores: int = 0
    groups: int = 0


@contextlib.contextmanager
def _noting() -> Iterator[_Made]:
    made = _Made()
    new_semaphore, enter_group = asyncio.Semaphore.__init__, asyncio.TaskGroup.__aenter__

    def init(self: asyncio.Semaphore, value: int = 1) -> None:
        made.semaphores += 1
        new_semaphore(self, value)

    async def enter(self: asyncio.TaskGroup) -> asyncio.TaskGroup:
        made.groups += 1
        return await enter_group(self)

    with patch.object(asyncio.Semaphore, "__init__", init), patch.object(asyncio.TaskGroup, "__aenter__", enter):
        yield made


@dataclass
class _Outcome:
    seconds: float
    waited: float = 0.0  # seconds, of these, in which nothing was computed
    after_the_last: float = 0.0  # seconds, of these, in which no fetch was in flight any more
    value: Any = None
    error: BaseException | None = None
    in_time: bool = True
    left: int = 0  # in flight when it came back
    begun_after: int = 0


async def _fetched(answer: Answer, service: _Service, ids: list[int], *, seconds: float) -> _Outcome:
    """Await fetch_all in a loop of its own, and look at what it left behind until that has ended."""
    fetch_all = await answer.load()

    async def drive() -> _Outcome:
        started, computed = clock.now(), thread_time()
        outcome = _Outcome(seconds)
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
        outcome.waited = outcome.seconds - (thread_time() - computed)
        outcome.left, begun = service.in_flight, len(service.begun)
        mine = asyncio.current_task()
        await until(lambda: asyncio.all_tasks() <= {mine} or len(service.begun) > begun, AFTERWARDS)
        outcome.begun_after = len(service.begun) - begun
        return outcome

    return await answer.run(drive, timeout=seconds + AFTERWARDS + 1)  # type: ignore[no-any-return]


@exercise(
    "Two hundred, ten at a time",
    asks_for="fetch_all",
    hints=[
        "A semaphore has places. How many semaphores must there be for two hundred calls to share ten places?",
        "What is a place taken for, and how long: for making a task, or for the call? And when one call fails, who "
        "ends the others: gather or TaskGroup?",
        "A function that does `async with places: return await fetch(id)`, and a TaskGroup with a task of it per id.",
    ],
)
async def fan_out(answer: Answer) -> str:
    """200 ids with every tenth slow, then ids of which one fails: peak, time, order, and what is left behind."""
    ids = random.sample(range(1000, 10_000), 200)
    with _noting() as made:
        service = _Service({id: LONG if place % 10 == 0 else QUICK for place, id in enumerate(ids)})
        given = list(ids)
        outcome = await _fetched(answer, service, given, seconds=2.0)
        _require_bounded(service, outcome, made, len(ids))
        _require_results(service, outcome, ids, given)
        await _require_end_on_failure(answer)
    return f"200 results in {ms(outcome.seconds)}, never more than {service.peak} in flight, and none after a failure."


def _require_bounded(service: _Service, outcome: _Outcome, made: _Made, n: int) -> None:
    tried = f"200 ids, of which every tenth takes {ms(LONG)} and the others {ms(QUICK)}"
    if outcome.error is not None and outcome.in_time:
        line = place_in_words(innermost(outcome.error.__traceback__))
        kind = f"{type(outcome.error).__name__}: {outcome.error}".rstrip(": ")
        raise Probe(tried, "200 results").saw(
            ", ".join(part for part in (kind, line) if part),
            f"fetch_all raised {kind}, though no fetch failed."
            + (" It must be awaitable: keep it an `async def`." if "await" in str(outcome.error) else ""),
        )
    if not service.begun:
        raise Probe(tried, "each id fetched").saw(
            "no id was fetched" + ("" if outcome.in_time else ", and fetch_all never came back"),
            "Nothing awaited a fetch: `fetch(id)` without await is a call that has not begun."
            if outcome.in_time
            else "fetch_all waits before the first fetch for something that never comes.",
        )
    if service.peak > LIMIT:
        if made.semaphores > 1:
            why = (
                f"{made.semaphores} semaphores were made, one for each item or so. Each of them lets its own item in: "
                "nobody shares its places. Make one, before the calls, and let all of them use it."
            )
        elif service.peak < n:
            why = f"There is a bound, and it is not {LIMIT}: up to {service.peak} calls ran at the same time."
        elif made.semaphores:
            why = (
                "There is one semaphore, and no fetch runs inside it: its place is given back before the call has "
                "begun. Making a task takes no time; the place must be held while fetch is awaited."
            )
        elif made.groups:
            why = (
                "A TaskGroup ends its children together. It does not bound how many of them run: all 200 began at once."
            )
        else:
            why = "gather makes a task of each call, and all of them begin at once. Something must make them wait."
        raise Probe(tried, "at most 10 in flight").saw(f"{service.peak} in flight", why)
    if service.peak < LIMIT:
        raise Probe(tried, "ten in flight while there is something to do").saw(
            f"at most {service.peak} in flight",
            "They are fetched one after another: each is awaited before the next one begins."
            if service.peak == 1
            else f"The bound holds, and is tighter than it must be: only {service.peak} of ten places are used.",
        )
    if outcome.waited > ENOUGH or not outcome.in_time:
        if service.rounds > 5:
            why = (
                "The ids are fetched in rounds: ten begin, and the next ten begin when all of those have ended. One "
                "slow id keeps nine places empty. The next one should begin as soon as any has ended."
            )
        elif len(service.begun) == LIMIT:
            why = "Ten were fetched, and no other began: the places that were taken are not given back."
        elif len(service.begun) >= n and outcome.after_the_last > outcome.seconds / 2:
            why = "Each fetch was over in time, and fetch_all did not come back: it waits for something else."
        else:
            why = "Ten places are there, and they are not used all the time: something waits between two calls."
        raise Probe(tried, f"200 results after waiting for {ms(ENOUGH)} at the most").saw(
            ms(outcome.waited) if outcome.in_time else f"no result after {ms(outcome.seconds)}", why
        )


def _require_results(service: _Service, outcome: _Outcome, ids: list[int], given: list[int]) -> None:
    tried = "200 ids"
    if given != ids:
        raise Probe(tried, "the caller's list as it was").saw(
            f"a list of {len(given)} ids after the call",
            "The list of ids was used up. It belongs to the caller: work on an iterator or a copy of it.",
        )
    expected = [f"price of {id}" for id in ids]
    if outcome.value == expected:
        return
    value = outcome.value
    if not isinstance(value, list):
        why = f"fetch_all returned {quoted(value, 40)}. It is to return the list of results."
        if value is None:
            why = "All was fetched, and fetch_all returned nothing: the results must be returned, as a list."
    elif value and any(isinstance(one, asyncio.Future) for one in value):
        why = "The list holds tasks. A finished task gives what it came to with result()."
    elif sorted(map(str, value)) == sorted(expected):
        why = (
            "All results are there, in the order in which they came in. Nobody can tell which belongs to which id: "
            "return them in the order of the ids."
        )
    else:
        why = f"There are {len(value)} results, and they are not what fetch returned for the ids."
    raise Probe(tried, "200 results in the order of the ids").saw(quoted(value, 60), why)


async def _require_end_on_failure(answer: Answer) -> None:
    ids = random.sample(range(1000, 10_000), 60)
    service = _Service(dict.fromkeys(ids, 0.05), fails=ids[4])
    service.seconds[ids[4]] = 0.02
    outcome = await _fetched(answer, service, list(ids), seconds=1.5)
    tried = "60 ids, of which the fifth fails"
    if not outcome.in_time:
        raise Probe(tried, "its error").saw(
            "fetch_all did not come back",
            "When a fetch fails, fetch_all waits for ever: the one that failed never says that it is done, and nobody "
            "looks whether it still lives.",
        )
    if outcome.error is None:
        raise Probe(tried, "its error comes out of fetch_all").saw(
            f"a result, {quoted(outcome.value, 60)}",
            "One fetch failed, and fetch_all kept quiet about it. A caller takes what is returned for prices: let the "
            "error out.",
        )
    if outcome.left or outcome.begun_after:
        raise Probe(tried, "no fetch left running, and none begun, after the error").saw(
            f"{outcome.left} still in flight, and {outcome.begun_after} more begun after it",
            "The error came out, and the others went on behind the caller's back. gather does not end its siblings "
            "when one fails; a TaskGroup cancels them, and waits until they have ended.",
        )
