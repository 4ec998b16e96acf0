"""How the exercises of "Blocking and waiting" are judged."""

import asyncio
import functools
import os
import secrets
import sys
from collections.abc import Callable
from typing import Any

import httpx

from workbench import clock
from workbench.around import Reply, Upstream, ask, upstream
from workbench.clock import until
from workbench.judge import (
    Answer,
    Held,
    Probe,
    Trial,
    exercise,
    failure_in_words,
    frames_of_the_cell,
    looking,
    ms,
    require_pings,
    tasks_of_the_cell,
    threads_in_the_cell,
    trial,
)
from workbench.server import LiveServer

CALLS = 8
MOST = (
    CALLS // 2
)  # of the calls: so many are at the service at once, whatever waits for it; a thread pool has 5 or more
WAIT = 0.2  # seconds of each of the waits in the cell; a line that holds the loop for half of one blocks
PATIENCE = 0.4  # seconds for which the service keeps an answer back until MOST calls are there
INTERVAL = 0.1  # seconds that the monitor sleeps; of a stall it may miss so much, and of its own sleep count half
ALIKE = INTERVAL / 5  # seconds by which two that sleep on one loop may come back apart
TRIED = f"{CALLS} calls at once, with a heartbeat on /ping"


def require_answers(seen: Trial, path: str, expected: Any) -> None:
    """All answers are there and right, and /ping works. Raises NotYet."""
    require_pings(seen.beat, TRIED)
    for call in seen.burst.calls:
        if call.status != 200:
            raise Probe(TRIED, f"{CALLS} answers with status 200").saw(**failure_in_words(call))
        if call.json() != expected:
            raise Probe(TRIED, f"`{expected}` from `{path}`").saw(
                f"`{call.text[:80]}`",
                f"`{path}` is free of blocking, perhaps, but it no longer answers with what it was given.",
            )


@exercise(
    "Fix the report",
    asks_for="app",
    hints=[
        "Two lines of the handler wait. In which thread does the loop live, and what does each line do to it?",
        "Only what is awaited gives the loop back. Which of the two waits has an asynchronous twin, and does the "
        "client have one too?",
        "httpx.AsyncClient opens with `async with`, and its get() is awaited.",
    ],
)
async def report(answer: Answer) -> str:
    """Concurrent reports in the time of a few, the service's own figures, no ping above the bound."""
    orders = {"orders": secrets.randbelow(1_000_000)}
    with upstream({}, name="figures") as service:

        def most_came() -> bool:
            """Whether so many are there at once, or one has waited for them in vain, which is enough to see it."""
            return service.peak >= MOST or bool(service.finished)

        service.replies["/figures"] = Reply(WAIT, orders, ready=most_came, patience=PATIENCE)
        os.environ["FIGURES_URL"] = service.url
        async with answer.served() as server:
            seen = await trial(answer, server, "/report", CALLS)
            at_once = service.peak
            connects_anew = await _connects_anew(server, service)
        if any(call.status == 500 for call in seen.burst.calls) and (blocking := _blocking(seen)):
            raise Probe(TRIED, f"{CALLS} answers with status 200").saw(
                f"status 500, after the loop was held at {blocking[0]}",
                "The blocking call was made first, in the loop, and its result was handed on as if it were a function: "
                "`to_thread(get(url))` calls get itself. Pass the function and its arguments apart: `to_thread(get, "
                "url)`.",
            )
        require_answers(seen, "/report", orders)
        _require_free_loop(seen, _who_holds)
    if connects_anew:
        raise Probe("two reports, one after the other", "one connection to the service for both").saw(
            "a connection for each",
            "Nothing sleeps in the loop any more, but the handler builds a new client for each request. That takes "
            "tens of milliseconds of the processor each time, in which the loop stands still: open one in the "
            "lifespan, and share it.",
        )
    if at_once < MOST:
        raise Probe(TRIED, "most of the calls at the service together").saw(
            f"at most {at_once} of them, and the last answer after {seen.burst.wall:.2f} s",
            "The loop is free, but the calls still take turns: something lets only a few of them in at a time, a lock "
            "or one connection for all.",
        )
    return f"{CALLS} answers in {seen.burst.wall:.2f} s, longest ping {ms(seen.beat.longest)}."


def _blocking(seen: Trial) -> list[Held]:
    """Where the cell held the loop for half of a wait or longer, what it builds aside."""
    return [one for one in seen.held if one.seconds > WAIT / 2 and one.calling != "__init__"]


def _require_free_loop(seen: Trial, who: Callable[[list[Held]], str]) -> None:
    """No line of the cell blocks. Raises NotYet."""
    if blocking := _blocking(seen):
        raise Probe(TRIED, f"a loop that no line holds for {ms(WAIT / 2)}").saw(
            f"held for {ms(max(one.seconds for one in blocking))}, and one ping waited {ms(seen.beat.longest)}",
            who(blocking),
        )


async def _connects_anew(server: LiveServer, service: Upstream) -> bool:
    """Whether two reports, one after the other, come to the service over two connections."""
    for _ in range(2):
        await ask(server, "/report", timeout=2)
    return len({request.client_port for request in list(service.server.record.requests)[-2:]}) == 2


def _who_holds(held: list[Held]) -> str:
    pauses = [one for one in held if one.calling == ""]
    calls = [one for one in held if one.calling != ""]
    tasks = [one for one in held if one.task]
    if tasks:
        return (
            f"`{tasks[0].task}` runs as a task of its own, and that task lives on the same loop: at {tasks[0]}, it "
            "holds the loop for everyone. A task makes a coroutine concurrent; it does not make a blocking call wait."
        )
    if pauses and calls:
        return (
            f"Both waits still hold the loop: {pauses[0]}, and {calls[0]}. `async def` only permits `await`; a call "
            "that is not awaited stops the thread, and the loop with it."
        )
    if pauses:
        return f"The service is awaited now, but the pause is not: {pauses[0]} stops the thread that the loop lives in."
    return (
        f"The pause is awaited now, but the service is still asked with a synchronous client: {calls[0]} holds the "
        "loop for as long as the service takes."
    )


@exercise(
    "The blocker that hides",
    asks_for="app",
    hints=[
        "Print threading.current_thread().name in the endpoint and in each function it depends on. Which of them run "
        "in the loop's thread?",
        "FastAPI decides for each dependency by itself whether it needs a worker thread: `def` or `async def`?",
        "One function calls the directory's SDK. Fix it there, in either of two ways.",
    ],
)
async def dependency(answer: Answer) -> str:
    """Concurrent orders with a free loop, and each caller's own account in the answer."""
    async with answer.served() as server:
        async with server.client(headers={"token": "secret-2"}) as client:
            named = await client.get("/orders")
        with looking(_in_look_up) as asking:
            seen = await trial(answer, server, "/orders", CALLS)
    require_answers(seen, "/orders", {"user": "nobody", "currency": "EUR"})
    if named.status_code != 200 or named.json() != {"user": "grace", "currency": "EUR"}:
        raise Probe("`/orders` with the header `token: secret-2`", '`{"user": "grace", "currency": "EUR"}`').saw(
            f"{named.status_code}, `{named.text[:80]}`",
            "The token no longer decides whose account it is. The directory must still be asked, for each request: "
            "move the call, do not drop it.",
        )
    _require_free_loop(seen, functools.partial(_which_dependency, answer))
    if (at_once := max(asking, default=0)) < MOST:
        raise Probe(
            TRIED.replace("calls", "calls of /orders"), "most of the calls in `look_up` at the same time, in threads"
        ).saw(
            f"at most {at_once} of them, and the last answer after {seen.burst.wall:.2f} s",
            f"The loop is free, but the calls take turns now: something lets only {at_once} of them in at a time."
            if at_once
            else "`look_up` is the directory's SDK, which is synchronous and not yours to change. It must still be "
            "asked, for each request, and as it is: in a thread.",
        )
    return f"{CALLS} answers in {seen.burst.wall:.2f} s, longest ping {ms(seen.beat.longest)}."


def _in_look_up() -> int:
    """In how many threads `look_up` runs."""
    frames = map(frames_of_the_cell, sys._current_frames())
    return sum(any(frame.f_code.co_name == "look_up" for frame in mine) for mine in frames)


def _which_dependency(answer: Answer, held: list[Held]) -> str:
    where = held[0]
    if not asyncio.iscoroutinefunction(answer["orders"]):
        return (
            "The endpoint runs in a worker thread now, but FastAPI decides for each dependency by itself: "
            f"`{_coroutine(answer)}` is an `async def`, so it stays on the loop, and {where} holds it."
        )
    if not asyncio.iscoroutinefunction(answer["get_account"]):
        return (
            "`get_account` runs in a worker thread now, but what it depends on does not follow it there: "
            f"`{_coroutine(answer)}` is still on the loop, and {where} holds it."
        )
    if answer.changed("get_user") or answer.changed("look_up"):
        return (
            f"`get_user` was changed, and {where} still holds the loop. An `await` beside the blocking call does not "
            "help: the blocking call itself must leave the loop's thread."
        )
    return (
        f"The endpoint is not where it is held: {where} runs before the endpoint is called, in what its dependency "
        "depends on."
    )


def _coroutine(answer: Answer) -> str:
    return next(name for name in ("get_user", "get_account") if asyncio.iscoroutinefunction(answer[name]))


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
    """/ok leaves the longest lag where the bench sees it, /bad lifts it by 250 ms or nearly, and it stays there."""
    async with answer.served() as server, server.client(timeout=2) as client:
        await _longest_lag(client)
        for _ in range(2):  # long enough for a monitor that sleeps longer than it says
            await client.get("/ok")
        quiet = await _longest_lag(client)
        allowed = _held_for(server) + INTERVAL / 2
        watching = tasks_of_the_cell(server)
        await client.get("/bad")
        await until(lambda: _held_for(server) > INTERVAL, 0.5)  # the bench sees it when the loop has its next turn
        peak = 0.0

        async def noticed() -> bool:
            nonlocal peak
            peak = max(peak, await _longest_lag(client))
            return peak >= _held_for(server) - INTERVAL - ALIKE

        await until(noticed, 12 * INTERVAL)
        end = clock.now() + 3 * INTERVAL  # what is forgotten soon is there for an INTERVAL
        while clock.now() < end:
            await noticed()
        held, lowest = _held_for(server), await _longest_lag(client)
        threads = threads_in_the_cell()
    if peak > 10 * held:
        raise Probe("`GET /bad`, which holds the loop for 250 ms", f"a longest lag of about {held:.2f} s").saw(
            f"{peak:,.0f} s",
            "The lag is far longer than the loop was ever held. `/lag` answers in seconds: is the difference taken "
            "from the same clock, and in that unit?",
        )
    if quiet >= allowed:
        raise Probe("`GET /ok`, which leaves the loop free", f"a longest lag below {ms(allowed)}").saw(
            ms(quiet),
            "The monitor counts its own sleep: with a free loop it reports about INTERVAL. The lag is what the sleep "
            "took beyond what was asked for.",
        )
    probe = Probe(
        "`GET /bad`, which holds the loop for 250 ms, then `/lag` for a while",
        f"a longest lag of {ms(held - INTERVAL)} or more, and it stays",
    )
    if peak > held + INTERVAL / 2:
        raise probe.saw(
            ms(peak),
            "The loop was held for 250 ms, and the monitor tells of more than that: it counts some of its own sleep. "
            "Take off what it asked for, which is what it sleeps.",
        )
    if peak < held - INTERVAL - ALIKE:
        if threads:
            why = (
                "A thread watches the clock, and a thread goes on while the loop is held: time.sleep() lets other "
                "threads run. Only what runs on the loop itself can tell how long the loop was held."
            )
        elif not watching:
            why = (
                "`watch` does not run: no task of yours is on the loop. Calling an `async def` only makes a coroutine; "
                "asyncio.create_task() starts it, before the `yield`."
            )
        else:
            why = "The monitor runs, but it does not notice: compare the clock before and after its own sleep."
        raise probe.saw(f"at most {ms(peak)}", why)
    if lowest < peak:
        raise probe.saw(
            f"{ms(peak)}, then {ms(lowest)}",
            "The stall is seen and forgotten: only the last value is kept. Keep the longest one.",
        )
    return f"Free loop: {ms(quiet)}. After /bad: {ms(lowest)}."


def _held_for(server: LiveServer) -> float:
    """Seconds that the server's loop was held at the longest since it started, by the bench's own monitor."""
    return server.record.longest_lag(0, clock.now())


async def _longest_lag(client: httpx.AsyncClient) -> float:
    """What /lag says, in seconds."""
    try:
        reply = await client.get("/lag")
    except httpx.HTTPError as error:
        raise Probe("`GET /lag`", "an answer").saw(
            type(error).__name__,
            "The server does not answer any more: the monitor itself holds the loop. It must await its sleep, or "
            "nobody else gets a turn.",
        ) from None
    try:
        return float(reply.json()["longest"])
    except (ValueError, KeyError, TypeError):
        raise Probe("`GET /lag`", 'JSON with a number, `{"longest": 0.0}`').saw(
            f"{reply.status_code}, `{reply.text[:80]}`", "`/lag` must still answer with the longest delay, in seconds."
        ) from None
