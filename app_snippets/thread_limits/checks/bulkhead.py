"""How the exercise "A bulkhead" is judged."""

import asyncio
import contextlib
import gc
import os
import secrets
import sys
from dataclasses import dataclass

import anyio.to_thread
from fastapi import FastAPI

from app_snippets.thread_limits.checks.common import (
    all_stand_still,
    failure,
    in_loop,
    warm_up,
)
from workbench.around import Burst, Call, ask, burst
from workbench.judge import Answer, NotYet, Probe, exercise, held_at, line_of_the_loop, looking, ms, threads_in_the_cell
from workbench.server import LiveServer, serve

CALLS = 60  # slow calls in flight
SEATS = 25  # that the exchange allows
PATIENCE = 0.8  # seconds that a probe gets: an answer comes at once, or not before the exchange answers
HANG = 8  # seconds after which nobody waits any longer
TRIED = f"{CALLS} quotes at once, while the exchange keeps everyone waiting"
PROBES = ["/health", "/colleagues"]


class Exchange:
    """A service that lets its callers wait until it is opened, and counts them."""

    def __init__(self) -> None:
        self.app = FastAPI(openapi_url=None)
        self.app.add_api_route("/quotes/{symbol}", self.quote)
        self.secret = secrets.randbelow(1_000)
        self.in_flight = self.peak = 0
        self.opened = asyncio.Event()

    async def quote(self, symbol: str) -> dict[str, float]:
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HANG):
                    await self.opened.wait()
        finally:
            self.in_flight -= 1
        return {"price": self.price(symbol)}

    def price(self, symbol: str) -> float:
        return float(self.secret + int(symbol))


@dataclass
class Crowd:
    """What was seen while the exchange kept everyone waiting."""

    probes: dict[str, Call]
    held: str  # the line of the cell at which the loop was meanwhile
    quotes: Burst | None  # None where a probe had no answer
    peak: int
    threads: list[str]  # names of the threads that are in the cell's code
    limiters: int  # in use, apart from the common one
    total: float  # tokens of the common limiter, 0 where the loop did not say
    borrowed: int
    waiting: int

    @property
    def stuck(self) -> list[str]:
        """The probes that had no answer as long as the exchange was closed."""
        return [path for path, call in self.probes.items() if call.status is None]


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
    """While the exchange answers nobody, /health and any other def answer, and 25 calls are at the exchange."""
    os.environ["no_proxy"] = "127.0.0.1"
    ours = set(sys._current_frames())
    exchange = Exchange()
    with serve(exchange.app, name="exchange") as service:
        os.environ["EXCHANGE_URL"] = service.url
        warm_up()
        app = await _loaded(answer)
        app.add_api_route("/colleagues", _colleagues)
        async with answer.served() as server:
            await _require_health(server)
            crowd = await _crowd(server, service, exchange, ours)
    _require_free_loop(crowd)
    for path, call in crowd.probes.items():
        if call.status != 200:
            raise Probe(TRIED, f"an answer of {_probe_in_words(path)} while the quotes wait").saw(
                **_starved(answer, crowd) if crowd.stuck else failure(call)
            )
    _require_quotes(crowd, exchange)
    if crowd.peak != SEATS or _of_asyncio(crowd):
        raise Probe(TRIED, f"{SEATS} calls at the exchange, at the most and no fewer, on every machine").saw(
            f"{crowd.peak}", _who_is_at_the_exchange(answer, crowd)
        )
    longest = max(call.latency for call in crowd.probes.values())
    return f"{SEATS} calls at the exchange, and /health answered in {ms(longest)} or less."


def _colleagues() -> str:
    return "a plain def that a colleague has added"


def _probe_in_words(path: str) -> str:
    return f"`{path}`" if path == "/health" else "another plain `def` of the same app"


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


async def _crowd(server: LiveServer, service: LiveServer, exchange: Exchange, ours: set[int]) -> Crowd:
    """Sixty quotes at once, and two probes when all of them wait, for whatever it is."""
    paths = [f"/quotes/{number}" for number in range(CALLS)]
    quotes = asyncio.create_task(burst(server, paths, CALLS, timeout=HANG))
    await all_stand_still(ours, lambda: _arrived(server) >= CALLS, lambda: (_arrived(server), exchange.in_flight))
    probes: dict[str, Call] = {}
    with looking(lambda: line_of_the_loop(server)) as looks:
        total, borrowed, waiting = await _common_limiter(server)
        threads, limiters = [one.name for one in threads_in_the_cell()], _limiters_in_use()
        if not held_at(looks):  # if it is, nobody would be answered
            probes = {call.path: call for call in (await burst(server, PROBES, len(PROBES), timeout=PATIENCE)).calls}
    assert service.loop is not None
    service.loop.call_soon_threadsafe(exchange.opened.set)
    crowd = Crowd(probes, held_at(looks), None, exchange.peak, threads, limiters, total, borrowed, waiting)
    if crowd.stuck or crowd.held:
        quotes.cancel()
    else:
        crowd.quotes, crowd.peak = await quotes, exchange.peak
    return crowd


def _arrived(server: LiveServer) -> int:
    return sum(request.path.startswith("/quotes/") for request in list(server.record.requests))


async def _common_limiter(server: LiveServer) -> tuple[float, int, int]:
    async def look() -> tuple[float, int, int]:
        used = anyio.to_thread.current_default_thread_limiter().statistics()
        return used.total_tokens, used.borrowed_tokens, used.tasks_waiting

    return await in_loop(server, look()) or (0, 0, 0)


def _limiters_in_use() -> int:
    """How many limiters have lent a token now. One for each request is a mistake."""
    return sum(isinstance(one, anyio.CapacityLimiter) and one.borrowed_tokens > 0 for one in gc.get_objects())


def _require_free_loop(crowd: Crowd) -> None:
    if crowd.held:
        raise Probe(TRIED, "a loop that is free while they wait").saw(
            f"held at {crowd.held}",
            f"The loop itself is held, at {crowd.held}: what waits there does so in an `async def`, without an "
            "`await`, and nobody else is served meanwhile. It belongs in a thread.",
        )


def _starved(answer: Answer, crowd: Crowd) -> dict[str, str]:
    return {"seen": "no answer until the exchange answered", "diagnosis": _who_starves(answer, crowd)}


def _who_starves(answer: Answer, crowd: Crowd) -> str:
    is_async = asyncio.iscoroutinefunction
    exhausted = crowd.total and crowd.borrowed >= crowd.total
    if "/health" not in crowd.stuck:
        return (
            "`/health` has got away from the crowd, and everyone else is still in it: the quotes hold all of the "
            "common threads, and every other plain `def` waits for one. Move the quotes out, not their neighbours."
        )
    if "/colleagues" not in crowd.stuck:
        return "`/health` waits for the same places as the quotes do. It must not share their pool."
    if not exhausted:
        return "Every plain `def` waits, though the common pool has threads left: something else holds them up."
    if is_async(answer["health"]):
        return (
            "`/health` is an `async def` now, but `get_version` is a plain `def`, and FastAPI takes a common thread "
            "for each dependency of that kind. The quotes still hold all of them."
        )
    if crowd.total != 40:
        return (
            f"The common pool has {crowd.total:g} threads now, and it is still common: enough quotes hold all of them, "
            "and `/health` waits behind."
        )
    if any(name.startswith(("ThreadPoolExecutor", "asyncio_")) for name in crowd.threads):
        return (
            "The SDK runs in a pool of its own, but somebody waits for it in a common thread: each quote takes two "
            "threads, and the common ones run out as before. Let the handler be an `async def` that awaits."
        )
    if crowd.peak < crowd.borrowed:
        return (
            f"{crowd.peak} calls are at the exchange, and {crowd.borrowed:g} common threads are gone: the others wait "
            "for their turn inside a thread, and hold it meanwhile. Wait first, in the loop, and take a thread then."
        )
    if is_async(answer["quote"]) and crowd.borrowed + crowd.waiting < CALLS:
        return (
            f"Something lets {crowd.borrowed + crowd.waiting} quotes in at a time. That is more than the "
            f"{crowd.total:g} common threads, so they run out before that limit is reached."
        )
    if is_async(answer["quote"]):
        return (
            f"The handler awaits its thread, but takes it from the common {crowd.total:g}, as every plain `def` does. "
            "Say which limiter the thread is to be counted by."
        )
    return (
        f"`quote` is a plain `def`, so each call takes one of the {crowd.total:g} common threads until the exchange "
        "answers. When they are gone, `/health` stands in the same queue."
    )


def _of_asyncio(crowd: Crowd) -> bool:
    """Whether asyncio.to_thread makes the calls: on some machine its pool has just as many threads as are allowed."""
    return any(name.startswith("asyncio_") for name in crowd.threads)


def _who_is_at_the_exchange(answer: Answer, crowd: Crowd) -> str:
    pools = {name.rpartition("_")[0] for name in crowd.threads if name.startswith("ThreadPoolExecutor")}
    if any(name.startswith("asyncio_") for name in crowd.threads):
        return (
            "The thread comes from the pool of asyncio.to_thread. Its size is min(32, cores + 4), which lets "
            f"{crowd.peak} in on this machine and another number on the next one, and everything else that calls "
            "asyncio.to_thread shares it."
        )
    if crowd.peak > SEATS and len(pools) > 1:
        return (
            "Each request makes an executor of its own. Each of them has its limit, and together they have none: make "
            "one, in the lifespan."
        )
    if crowd.peak > SEATS and crowd.limiters > 1:
        return (
            "Each request makes a limiter of its own. Each of them has one user, and together they limit nothing: make "
            "one, in the lifespan."
        )
    if crowd.peak > SEATS and crowd.total > 40:
        return (
            "The common pool was made larger, so there is a thread for everybody today. Nothing keeps the quotes from "
            f"taking all of it tomorrow, and the exchange allows {SEATS}. They need a pool of their own."
        )
    if crowd.peak > SEATS and (asyncio.iscoroutinefunction(answer["health"]) or crowd.borrowed):
        return (
            f"Nothing limits the quotes: {crowd.peak} of them are at the exchange, which allows {SEATS}. Keeping "
            "`/health` out of their way is one half; the other half is a limit for the quotes themselves."
        )
    if crowd.peak > SEATS:
        return f"The quotes have a pool of their own, and it is too large: the exchange allows {SEATS}."
    if crowd.peak == 1:
        return "The quotes take turns: one lock, or one thread, for all of them."
    return f"The quotes have a pool of their own, and it is smaller than it may be: the exchange allows {SEATS}."


def _require_quotes(crowd: Crowd, exchange: Exchange) -> None:
    probe = Probe(TRIED + ", and then answers", f"{CALLS} quotes")
    for call in crowd.quotes.calls if crowd.quotes else []:
        if call.status != 200:
            raise probe.saw(**failure(call))
        if call.parsed != exchange.price(call.path.rpartition("/")[2]):
            raise probe.saw(
                f"`{call.text[:80]}` from `{call.path}`",
                "A quote is no longer what the exchange said. Ask it for each request, and return its price.",
            )
