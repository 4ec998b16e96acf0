"""How the exercise "A bulkhead" is judged."""

import asyncio
import gc
import os
import sys
from collections.abc import Callable

import anyio.to_thread
from fastapi import FastAPI

from app_snippets.thread_limits.checks.common import (
    all_stand_still,
    failure,
    in_loop,
    require_rest,
    require_sdk,
    share_of_the_loop,
    warm_up,
)
from app_snippets.thread_limits.checks.crowd import CALLS, SEATS, Crowd, of_asyncio, who_is_at_the_exchange, who_starves
from app_snippets.thread_limits.checks.exchange import HANG, Exchange
from workbench import clock
from workbench.around import Burst, Call, ask, burst
from workbench.clock import until
from workbench.judge import (
    Answer,
    NotYet,
    Probe,
    error_of,
    exercise,
    frames_of_the_cell,
    held_at,
    looking,
    ms,
    place_in_words,
    said,
    threads_in_the_cell,
)
from workbench.server import LiveServer, serve

CLOSED = 1.0  # seconds for which the exchange keeps everyone waiting
PATIENCE = 0.8  # seconds that a probe gets: an answer comes at once, or not before the exchange answers
TRIED = f"{CALLS} quotes at once, while the exchange keeps everyone waiting"
PROBES = {
    "/health": "`/health`",
    "/colleagues": "another plain `def` of the same app",
    "/awaits": "another `async def`, which awaits asyncio.to_thread",
}


@exercise(
    "A bulkhead",
    asks_for="app",
    hints=[
        "Sixty quotes are in flight. Who gives them their threads, how many of those are there, and who else asks "
        "there?",
        "Let the quotes have a pool of their own. An `async def` that awaits anyio.to_thread.run_sync can say from "
        "which one its thread is taken.",
        "`anyio.CapacityLimiter(25)`, made once, in the lifespan, and handed over with `limiter=`.",
    ],
    deadline=20,
)
async def bulkhead(answer: Answer) -> str:
    """While the exchange answers nobody, /health and others answer, and 25 calls are at the exchange."""
    os.environ["no_proxy"] = "127.0.0.1"
    ours = set(sys._current_frames())
    exchange = Exchange()
    with serve(exchange.app, name="exchange") as service:
        os.environ["EXCHANGE_URL"] = service.url
        warm_up()
        app = await _loaded(answer)
        app.add_api_route("/colleagues", _colleagues)
        app.add_api_route("/awaits", _awaits)
        async with answer.served() as server:
            await _require_health(server)
            crowd = await _crowd(answer, server, exchange, ours)
            await _require_fresh(server, exchange)
    longest = max(call.latency for call in crowd.probes.values())
    return f"{SEATS} calls at the exchange, and /health answered in {ms(longest)} or less."


def _colleagues() -> str:
    return "a plain def that a colleague has added"


async def _awaits() -> str:
    return await asyncio.to_thread(_colleagues)


async def _loaded(answer: Answer) -> FastAPI:
    try:
        app = await answer.load()
    except NotYet as error:
        if "NoEventLoopError" not in error.verdict.seen:
            raise
        raise error.because(
            "The common limiter belongs to a running event loop, and while the file is imported there is none. In the "
            "lifespan there is. But a larger common pool is still common: give quotes their own."
        ) from None
    if not isinstance(app, FastAPI):
        raise Probe("to use your `app`", "the object that FastAPI() made").saw(
            type(app).__name__, "`app` is no longer the FastAPI app. Leave that name to it."
        )
    return app


async def _require_health(server: LiveServer) -> None:
    await ask(server, "/colleagues", timeout=2)
    call = await ask(server, "/health", timeout=2)
    probe = Probe("`GET /health`, with nothing else going on", "`ok` and the version")
    if call.status != 200:
        raise probe.saw(**failure(call))
    if call.parsed != {"status": "ok", "version": "1.0"}:
        raise probe.saw(
            f"`{call.text[:80]}`",
            "`/health` must still say what it said, with the version that it depends on.",
        )


async def _crowd(answer: Answer, server: LiveServer, exchange: Exchange, ours: set[int]) -> Crowd:
    """Sixty quotes at once, and what is to be seen when all of them wait, for whatever it is. Raises NotYet."""
    paths = [f"/quotes/{number}" for number in range(CALLS)]
    begun = clock.now()
    quotes = asyncio.create_task(burst(server, paths, CALLS, timeout=HANG))
    try:
        await all_stand_still(ours, lambda: _arrived(server) >= CALLS, lambda: (_arrived(server), exchange.in_flight))
        with looking(lambda: _place_of_the_loop(server)) as places:
            total, borrowed, waiting = await _common_limiter(server)
            names = [one.name for one in threads_in_the_cell()]
            crowd = Crowd(names, *_in_use(), total, borrowed, waiting, exchange.peak)
            if not held_at([line for line, _ in places]):  # if it is, nobody would be answered
                answers = await burst(server, list(PROBES), len(PROBES), timeout=PATIENCE)
                crowd.probes = {call.path: call for call in answers.calls}
        require_sdk(TRIED, "fetch_quote", exchange.clients)
        _require_free_loop(places)
        _require_probes(answer, crowd)
        if crowd.peak == SEATS and not quotes.done():
            require_rest(TRIED, await share_of_the_loop(server, 0.1))
            await _require_seats_back(server, exchange)
        await asyncio.sleep(max(0.0, begun + CLOSED - clock.now()))
        exchange.open()
        crowd.quotes, crowd.peak = await _all_of(quotes, server, exchange), exchange.peak
    finally:
        exchange.open()
        quotes.cancel()
    _require_quotes(crowd, exchange)
    if crowd.peak != SEATS or crowd.borrowed > SEATS or of_asyncio(crowd):
        raise Probe(TRIED, f"{SEATS} calls at the exchange, at the most and no fewer, on every machine").saw(
            f"{crowd.peak}", who_is_at_the_exchange(answer, crowd)
        )
    return crowd


def _arrived(server: LiveServer) -> int:
    return sum(request.path.startswith("/quotes/") for request in list(server.record.requests))


def _place_of_the_loop(server: LiveServer) -> tuple[str, object]:
    """The line of the handler at which the loop is, "" for none, and the instruction in whatever that line called."""
    frames, innermost = frames_of_the_cell(server.thread.ident), sys._current_frames().get(server.thread.ident or 0)
    if not frames or innermost is None:
        return "", None
    return place_in_words(frames[-1].f_lineno), (innermost.f_code, innermost.f_lasti)


async def _common_limiter(server: LiveServer) -> tuple[float, int, int]:
    async def look() -> tuple[float, int, int]:
        used = anyio.to_thread.current_default_thread_limiter().statistics()
        return used.total_tokens, used.borrowed_tokens, used.tasks_waiting

    return await in_loop(server, look()) or (0, 0, 0)


def _in_use() -> tuple[int, int]:
    """How many limiters have lent a token now, and how many semaphores there are. One for each request is a mistake."""
    there = gc.get_objects()
    # By type(), because isinstance() asks a proxy for what it stands for, which may be gone.
    limiters = sum(issubclass(type(one), anyio.CapacityLimiter) and one.borrowed_tokens > 0 for one in there)
    return limiters, sum(issubclass(type(one), asyncio.Semaphore | anyio.Semaphore) for one in there)


def _require_free_loop(places: list[tuple[str, object]]) -> None:
    held = held_at([line for line, _ in places])
    if not held:
        return
    if len({instruction for line, instruction in places if line == held}) > 3:
        why = (
            f"Your code holds the event loop, at {held}: it goes round there without an `await`, and nobody is served, "
            "whose leaving would end it. Await the limiter or the semaphore, which lets everybody wait in line."
        )
    else:
        why = (
            f"Your code holds the event loop, at {held}: what waits there does so in an `async def`, without an "
            "`await`, and nobody else is served meanwhile. Await it, or let it wait in a thread."
        )
    raise Probe(TRIED, "a loop that is free while they wait").saw(f"held at {held}", why)


def _require_probes(answer: Answer, crowd: Crowd) -> None:
    for path, call in crowd.probes.items():
        if call.status != 200:
            raise Probe(TRIED, f"an answer of {PROBES[path]} while the quotes wait").saw(
                **failure(call)
                if not crowd.stuck
                else {"seen": "no answer until the exchange answered", "diagnosis": who_starves(answer, crowd)}
            )


async def _require_seats_back(server: LiveServer, exchange: Exchange) -> None:
    """The exchange answers one of its callers, and refuses another: each time, the next one comes. Raises NotYet."""
    for numbers, how, why in (
        (
            exchange.answered,
            "answers one of them",
            "Whoever has a seat at the exchange keeps it for ever. Give it back when the call has returned: `async "
            "with` does, and so does `limiter=`.",
        ),
        (
            exchange.refused,
            "refuses one of them",
            "A call that fails keeps its seat, because it never comes to the line that gives it back. `finally` does, "
            "`async with` and `limiter=` do.",
        ),
    ):
        came = len(exchange.asked)
        numbers.append(came - 1)
        exchange.answer(came - 1)
        if not await until(_more_than(exchange.asked, came), 0.8) and _waiting(server) >= CALLS - 2:
            raise Probe(f"{TRIED} but {how}", "the next quote in its seat").saw("an empty seat", why)


def _waiting(server: LiveServer) -> int:
    """How many quotes have had no answer."""
    return sum(one.path.startswith("/quotes/") and one.done is None for one in list(server.record.requests))


def _more_than(asked: list[str], count: int) -> Callable[[], bool]:
    return lambda: len(asked) > count


async def _all_of(quotes: "asyncio.Task[Burst]", server: LiveServer, exchange: Exchange) -> Burst:
    """The answers to all quotes, once the exchange answers. Raises NotYet where they stop coming."""
    if await until(quotes.done, 2, progress=lambda: (len(exchange.asked), _waiting(server))):
        return quotes.result()
    raise Probe(TRIED + ", and then answers", f"{CALLS} quotes").saw(
        f"{len(exchange.asked)} quotes were asked for at the exchange, and then no more",
        "The exchange has answered everybody who asked, and the other quotes still wait for a seat or a thread that "
        "nobody gives back.",
    )


def _require_quotes(crowd: Crowd, exchange: Exchange) -> None:
    probe = Probe(f"{TRIED} for {CLOSED:g} s, and then answers", f"{CALLS} quotes")
    calls = crowd.quotes.calls if crowd.quotes else []
    refused = {exchange.asked[number] for number in exchange.refused}
    early = [call for call in calls if call.end < exchange.opened_at and error_of(call) is None]
    if len(early) > len(exchange.answered + exchange.refused):
        raise probe.saw(
            f"{said(early[-1])} after {ms(early[-1].latency)}",
            "A quote did not wait for the exchange. Turning callers away, or giving up after a time, is a pattern of "
            "its own; here, everybody waits and is served.",
        )
    for call in calls:
        if call.path.rpartition("/")[2] in refused:
            _require_no_price(call)
        elif call.status != 200:
            raise probe.saw(**failure(call))
        else:
            _require_price(probe, call, exchange)


def _require_no_price(call: Call) -> None:
    if call.status is None or call.status < 400:
        raise Probe(TRIED + " but refuses one of them", "an error in its place").saw(
            said(call),
            "The exchange has refused this quote, and its caller gets a price. Let the exception out: an error is the "
            "only true answer.",
        )


async def _require_fresh(server: LiveServer, exchange: Exchange) -> None:
    """A quote that was asked for before gets the price of now. Raises NotYet."""
    exchange.secret += 1_000
    probe = Probe("one of the quotes again, when its price has changed", "its price of now")
    call = await ask(server, "/quotes/1", timeout=HANG)
    if call.status != 200:
        raise probe.saw(**failure(call))
    _require_price(probe, call, exchange)


def _require_price(probe: Probe, call: Call, exchange: Exchange) -> None:
    if call.parsed != exchange.price(call.path.rpartition("/")[2]):
        raise probe.saw(
            f"`{call.text[:80]}` from `{call.path}`",
            "A quote is no longer what the exchange says. Ask it for each request, and return its price.",
        )
