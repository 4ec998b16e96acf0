"""How the exercise "Two hundred, ten at a time" is judged."""

import asyncio
import random
from typing import Any

from app_snippets.concurrency_in_a_request.checks.fetching import LIMIT, Made, Outcome, Service, fetched, noting
from workbench.judge import FILE, Answer, Probe, exercise, innermost, leaves, ms, place_in_words, quoted

QUICK, LONG = 0.01, 0.1  # seconds; every twentieth id takes long, and ten that follow each other
HELD = 0.2  # seconds of the ids that are in flight when one fails: who waits for them is seen
IN_USE = 0.6  # of the ten places, while ids wait for one; rounds of ten use a third of them


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
    """200 ids of unequal length, few and none, two callers, one that fails: places, order, and what is left behind."""
    fetch_all = await answer.load()
    with noting() as made:
        return await answer.run(lambda: _trials(fetch_all, made), timeout=5)  # type: ignore[no-any-return]


async def _trials(fetch_all: Any, made: Made) -> str:
    ids = random.sample(range(1000, 10_000), 200)
    long = {*range(0, 200, 20), *range(100, 110)}  # who deals them out beforehand has too many of them in one place
    service = Service({id: LONG if place in long else QUICK for place, id in enumerate(ids)})
    given = list(ids)
    outcome = await fetched(fetch_all, service, given, seconds=2.0)
    _require_bounded(service, outcome, made, len(ids))
    _require_results(service, outcome, ids, given)
    _require_no_tasks("200 ids", outcome)
    await _require_end_on_failure(fetch_all)
    await _require_few(fetch_all)
    await _require_two_callers(fetch_all)
    return f"200 results in {ms(outcome.seconds)}, never more than {service.peak} in flight, and none after a failure."


def _require_bounded(service: Service, outcome: Outcome, made: Made, n: int) -> None:
    tried = f"200 ids, of which some take {ms(LONG)} and the others {ms(QUICK)}"
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
    if service.elsewhere:
        raise Probe(tried, "each fetch awaited in the loop of the caller").saw(
            f"{service.elsewhere} calls of fetch in other loops",
            "fetch ran in a loop that is not the caller's: asyncio.run() makes one of its own, and the caller's stands "
            "still meanwhile. What fetch uses, such as a client, belongs to the caller's loop. No thread is needed.",
        )
    if service.peak > LIMIT:
        if len(made.semaphores) > 1:
            why = (
                f"{len(made.semaphores)} semaphores were made, one for each item or so. Each of them lets its own item "
                "in: nobody shares its places. Make one, before the calls, and let all of them use it."
            )
        elif service.peak < n:
            why = f"There is a bound, and it is not {LIMIT}: up to {service.peak} calls ran at the same time."
        elif made.semaphores and made.semaphores[0] >= n:
            why = f"There is one semaphore, and it has {made.semaphores[0]} places: all of the calls fit in."
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
    if len(service.begun) > LIMIT and service.in_use < IN_USE:
        if service.rounds > 5:
            why = (
                "The ids are fetched in rounds: ten begin, and the next ten begin when all of those have ended. One "
                "slow id keeps nine places empty. The next one should begin as soon as any has ended."
            )
        elif service.alone > 5:
            why = (
                "The places were in use at first, and in the end ids came one by one while nobody else was in: each "
                "place had its own share of the ids, and who was done took none of the others'. Let all take the next "
                "id from one place."
            )
        else:
            why = "Ten places are there, and they are not used all the time: something waits between two calls."
        raise Probe(tried, "ten places in use while ids wait for one").saw(
            f"{LIMIT * service.in_use:.1f} of them in use on average", why
        )
    if not outcome.in_time:
        if len(service.begun) == LIMIT and made.semaphores:
            why = "Ten were fetched, and no other began: the places that were taken are not given back."
        elif len(service.begun) == LIMIT:
            why = "Ten were fetched, and no other began: nobody goes on to a second one."
        elif len(service.begun) >= n and outcome.after_the_last > outcome.seconds / 2:
            why = "Each fetch was over in time, and fetch_all did not come back: it waits for something else."
        else:
            why = "Some ids are not fetched, and fetch_all waits for them."
        raise Probe(tried, "200 results").saw(
            f"no result after {ms(outcome.seconds)}, and {len(service.begun)} ids fetched", why
        )


def _require_results(service: Service, outcome: Outcome, ids: list[int], given: list[int]) -> None:
    tried = "200 ids"
    if given != ids:
        raise Probe(tried, "the caller's list as it was").saw(
            f"a list of {len(given)} ids after the call",
            "The list of ids was used up. It belongs to the caller: work on an iterator or a copy of it.",
        )
    if len(service.begun) != len(ids):
        raise Probe(tried, "each id fetched once").saw(
            f"{len(service.begun)} calls of fetch, for {len(set(service.begun))} of the ids",
            "Call fetch once for each id: what it does is work for the service, each time.",
        )
    expected = [service.price(id) for id in ids]
    if outcome.value == expected:
        return
    value = outcome.value
    if not isinstance(value, list):
        why = f"fetch_all returned {quoted(value, 40)}. It is to return the list of results."
        if value is None:
            why = "All was fetched, and fetch_all returned nothing: the results must be returned, as a list."
    elif value and any(isinstance(one, asyncio.Future) for one in value):
        why = "The list holds tasks. A finished task gives what it came to with result()."
    elif sorted(map(str, value)) == sorted(map(str, expected)):
        why = (
            "All results are there, in the order in which they came in. Nobody can tell which belongs to which id: "
            "return them in the order of the ids."
        )
    elif value == [one for one in expected if one is not None]:
        why = "fetch returns None for some ids, and those are left out. It works for any fetch: None is a result, too."
    else:
        why = f"There are {len(value)} results, and they are not what fetch returned for the ids."
    raise Probe(tried, "200 results in the order of the ids").saw(quoted(value, 60), why)


def _require_no_tasks(tried: str, outcome: Outcome) -> None:
    if outcome.tasks:
        frames = [frame for frame in outcome.tasks[0].get_stack() if frame.f_code.co_filename == FILE]
        where = f", one of them at {place_in_words(frames[-1].f_lineno)}" if frames else ""
        raise Probe(tried, "no task left when fetch_all has come back").saw(
            f"{len(outcome.tasks)} tasks that still wait{where}",
            "fetch_all came back, and tasks that it made are still there. Each call would leave some more: cancel "
            "them, or let them end when there is nothing left to fetch.",
        )


async def _require_end_on_failure(fetch_all: Any) -> None:
    ids = random.sample(range(1000, 10_000), 30)
    service = Service(dict.fromkeys(ids, HELD), fails=ids[4])
    service.seconds[ids[4]] = QUICK
    outcome = await fetched(fetch_all, service, list(ids), seconds=1.5)
    tried = "30 ids, of which the fifth fails"
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
    if service.error not in leaves(outcome.error):
        line = place_in_words(innermost(outcome.error.__traceback__))
        raise Probe(tried, "its error comes out of fetch_all, by itself or in a group").saw(
            ", ".join(part for part in (f"{quoted(outcome.error, 60)}", line) if part),
            f"fetch raised a ConnectionError, and what came out is {type(outcome.error).__name__}: the caller does not "
            "hear what went wrong. Let the error of fetch out as it is.",
        )
    probe = Probe(tried, "the others cancelled, and no other begun")
    if outcome.begun_after or outcome.left > outcome.cancelled_after:
        raise probe.saw(
            f"{outcome.left} still in flight when the error came out, and {outcome.begun_after} more begun after it",
            "The error came out, and the others went on behind the caller's back. gather does not end its siblings "
            "when one fails; a TaskGroup cancels them, and waits until they have ended.",
        )
    if service.begun_late:
        raise probe.saw(
            f"{service.begun_late} more begun after the failure, before the error came out",
            "One fetch had failed, and others were begun all the same: those that wait for a place do not know of it. "
            "End them at the first failure, before you wait for anything else.",
        )
    if outcome.left:
        raise probe.saw(
            f"{outcome.left} still in flight when the error came out, and cancelled after that",
            "The others were cancelled, and nobody waited until they had ended: cancel() only asks. Await them after "
            "it, for example with gather(*tasks, return_exceptions=True).",
        )
    if service.waited_for:
        raise probe.saw(
            f"the error after {ms(outcome.seconds)}, when {service.waited_for} others had come to their end",
            "No other id was begun, and those in flight were waited for, though nobody needs them any more. Cancel "
            "them when one fails.",
        )
    _require_no_tasks(tried, outcome)


async def _require_few(fetch_all: Any) -> None:
    for ids in (random.sample(range(1000, 10_000), 3), []):
        service = Service(dict.fromkeys(ids, QUICK))
        outcome = await fetched(fetch_all, service, list(ids), seconds=1.0)
        expected = [service.price(id) for id in ids]
        if outcome.error is None and outcome.value == expected:
            continue
        which = "three, which is fewer than there are places," if ids else "none"
        seen = quoted(outcome.value if outcome.error is None else outcome.error, 60)
        raise Probe("three ids" if ids else "no ids at all", f"`{expected}`").saw(
            seen if outcome.in_time else f"no result after {ms(outcome.seconds)}",
            f"200 ids are fetched well, and {which} are not.",
        )


async def _require_two_callers(fetch_all: Any) -> None:
    both = [random.sample(range(1000, 10_000), 2 * LIMIT) for _ in range(2)]
    services = [Service(dict.fromkeys(ids, QUICK)) for ids in both]
    outcomes = await asyncio.gather(
        *(fetched(fetch_all, service, list(ids), seconds=1.0) for service, ids in zip(services, both, strict=True))
    )
    for service, ids, outcome in zip(services, both, outcomes, strict=True):
        if outcome.error is not None or outcome.value != [service.price(id) for id in ids]:
            raise Probe("two callers at once, each with 20 ids", "its own results for each").saw(
                quoted(outcome.value if outcome.error is None else outcome.error, 60),
                "One after another, each caller gets the right results. They share what belongs to one call: what is "
                "made outside of fetch_all is everybody's.",
            )
