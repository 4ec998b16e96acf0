"""How the exercise "Try again, within a budget" is judged."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

from workbench import clock
from workbench.around import Call, ask, burst
from workbench.clock import until
from workbench.judge import Answer, Held, Probe, exercise, failure_in_words, ms, said
from workbench.server import LiveServer, serve

BUDGET, ATTEMPT, ATTEMPTS, PAUSE = 0.9, 0.3, 5, 0.1  # as the cell has them, in seconds
IN_BUDGET = 3  # a third attempt may begin after 0.8 s, a fourth after 1.2 s
TOO_LATE = 2 * BUDGET
PATIENCE = 2.0  # seconds for which the service says nothing, or drips
HANG = 2.5  # seconds after which nobody waits any longer
CALLS = [  # in the order in which they are made: first those that take their time
    *("GET /silent", "POST /silent", "GET /drops", "GET /silent-once"),
    *("GET /down", "GET /twice", "POST /down", "GET /missing", "GET /fine"),
]


@dataclass
class Faulty:
    """A service with a fault for each path.

    `asked` has the moments of the requests by "GET /path", and `over` those in which each of them was answered, or
    its caller had left.
    """

    asked: dict[str, list[float]] = field(default_factory=dict)
    over: dict[str, list[float]] = field(default_factory=dict)

    async def answer(self, request: Request) -> Response:
        key = f"{request.method} {request.url.path}"
        self.asked.setdefault(key, []).append(clock.now())
        number = len(self.asked[key])
        try:
            return await self._answer(request, request.url.path, number)
        finally:
            self.over.setdefault(key, []).append(clock.now())

    async def _answer(self, request: Request, path: str, number: int) -> Response:
        if path == "/down" or (path == "/twice" and number <= 2):
            return Response("down", 503)
        if path == "/missing":
            return Response("no such thing", 404)
        if path == "/drops":
            return StreamingResponse(_drops())
        if path == "/silent" or (path == "/silent-once" and number == 1):
            await _say_nothing(request)
        return Response(f"attempt {number}")

    def attempts(self, key: str) -> int:
        return len(self.asked.get(key, []))

    def shortest_pause(self, key: str) -> float:
        """Seconds between an answer and the next attempt, at the least."""
        pairs = zip(self.over.get(key, []), self.asked.get(key, [])[1:], strict=False)
        return min((after - before for before, after in pairs), default=1.0)


async def _say_nothing(request: Request) -> None:
    """Wait until the caller leaves."""
    await request.body()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while (await request.receive())["type"] != "http.disconnect":
                pass


async def _drops() -> AsyncIterator[bytes]:
    for _ in range(int(PATIENCE / 0.1)):
        yield b"."
        await asyncio.sleep(0.1)


@exercise(
    "Try again, within a budget",
    asks_for="app",
    hints=[
        "Two clocks run: one for each attempt, one for all of them. Which block does each `asyncio.timeout` go around?",
        "What may be sent twice? A GET may. A POST may have been done already, though no answer came. And a 404 will "
        "be a 404 next time too.",
        "asyncio.timeout(BUDGET) around the whole loop, asyncio.timeout(ATTEMPT) around each request; return what is "
        "below 500, sleep PAUSE, and make the last attempt without a net.",
    ],
)
async def within_budget(answer: Answer) -> str:
    """A service that is down, silent, slow or clear about its no: attempts counted there, time measured here."""
    faulty = Faulty()
    service = FastAPI(openapi_url=None)
    service.add_route("/{path:path}", faulty.answer, methods=["GET", "POST"])
    with serve(service, name="service", grace=0.1) as upstream:
        os.environ["SERVICES_URL"] = upstream.url
        async with answer.served(grace=0.1) as server:
            await burst(server, "/fine", 1, timeout=HANG)
            with answer.watched(server, shortest=0.7 * PAUSE) as held:
                calls = await _calls(server, faulty)
            _require_free_loop(held)
            return await _judged(faulty, calls)


async def _calls(server: LiveServer, faulty: Faulty) -> dict[str, Call]:
    """All calls. Each begins when the one before it has come to the service, so that none has to wait for others."""
    faulty.asked.clear()
    faulty.over.clear()
    begun: dict[str, asyncio.Task[Call]] = {}
    for key in CALLS:
        begun[key] = calling = asyncio.create_task(_call(server, *key.split()))
        await until(lambda key=key, calling=calling: faulty.attempts(key) or calling.done(), 1)  # type: ignore[misc]
    return {key: await calling for key, calling in begun.items()}


async def _call(server: LiveServer, method: str, path: str) -> Call:
    return await ask(server, path, method=method, timeout=HANG)


async def _judged(faulty: Faulty, calls: dict[str, Call]) -> str:
    down, silent = calls["GET /down"], calls["GET /silent"]
    _require_fine(calls["GET /fine"])
    _require_no_post_again(faulty, calls)
    _require_no_again(faulty, calls["GET /missing"])
    _require_capped(faulty, down)
    _require_recovery(faulty, calls["GET /twice"], "two answers with 503, then a good one")
    _require_pauses(faulty)
    _require_budget(faulty, silent, calls["POST /silent"])
    _require_budget_of_drops(calls["GET /drops"])
    _require_recovery(faulty, calls["GET /silent-once"], "one attempt without an answer, then a good one")
    await _require_budget_kept(faulty)
    if down.status != 503 and not (down.status == 504 and down.latency > 0.9 * BUDGET):  # it ran out in a pause
        raise Probe("`GET /down`: every attempt is answered with 503", "that 503, passed on").saw(
            said(down), "When the attempts are used up, what the service said last is the answer: return it."
        )
    if calls["POST /down"].status != 503:
        raise Probe("`POST /down`, which is answered with 503", "that 503, passed on").saw(
            said(calls["POST /down"]), "A POST is sent once, and its answer is passed on whatever its status."
        )
    return (
        f"Down: {faulty.attempts('GET /down')} attempts. Silent: {faulty.attempts('GET /silent')}, in "
        f"{silent.latency:.2f} s. POST and 404: one each."
    )


def _require_free_loop(held: list[Held]) -> None:
    """No line holds the loop for most of a pause, again and again."""
    for one in held:
        if sum(other.line == one.line for other in held) > 2:
            raise Probe("all of the calls at once", "a loop that is free while one of them pauses").saw(
                f"the loop held again and again at {one}",
                "It is tried again, and the pause blocks: nobody else is served during it. Await it, with "
                "asyncio.sleep."
                if one.calling == ""
                else "What waits there blocks: nobody else is served meanwhile. Only what is awaited gives the loop "
                "back.",
            )


def _require_pauses(faulty: Faulty) -> None:
    for key in ("GET /twice", "GET /down"):
        if faulty.shortest_pause(key) < 0.9 * PAUSE:
            raise Probe(f"`{key}`", f"a pause of {ms(PAUSE)} between two attempts, at least").saw(
                f"the next attempt {ms(faulty.shortest_pause(key))} after an answer",
                "A service that is down is asked again at once. Many callers that do so keep it down: await a pause "
                "before the next attempt.",
            )


def _require_fine(call: Call) -> None:
    if call.status == 200 and call.body.startswith(b"attempt"):
        return
    words = failure_in_words(call)
    if "NoneType" in words["diagnosis"]:
        words["diagnosis"] = "`ask` came to its end without a `return`: a good answer must be returned."
    raise Probe("`GET /fine`, where all is well", "status 200").saw(**words)


def _require_no_post_again(faulty: Faulty, calls: dict[str, Call]) -> None:
    for path in ("/down", "/silent"):
        if (count := faulty.attempts(f"POST {path}")) > 1:
            raise Probe(
                f"`POST {path}`, to a service that "
                + ("answers with 503" if path == "/down" else "takes the order and gives no answer"),
                "one attempt",
            ).saw(
                f"{count} attempts",
                "A POST was sent again. The service may have done what it was asked before the answer was lost, and "
                "then the order is placed twice. Only what may be done twice is tried again: a GET.",
            )
        if count == 0:
            raise Probe(f"`POST {path}`", "one attempt").saw(
                f"none, {said(calls[f'POST {path}'])}", "POST is not sent at all."
            )


def _require_no_again(faulty: Faulty, missing: Call) -> None:
    if (count := faulty.attempts("GET /missing")) > 1:
        raise Probe("`GET /missing`, which the service answers with 404", "one attempt, and the 404 passed on").saw(
            f"{count} attempts, {said(missing)}",
            "A 404 is an answer: the service is up, and will say the same next time. Try again after 5xx and after no "
            "answer, and pass on what is below 500.",
        )
    if missing.status != 404:
        raise Probe("`GET /missing`, which the service answers with 404", "the 404 passed on").saw(
            said(missing),
            "`ask` returns the service's answer whatever its status. raise_for_status() raises HTTPStatusError, which "
            "is no TransportError, and nobody here catches it.",
        )


def _require_capped(faulty: Faulty, down: Call) -> None:
    count = faulty.attempts("GET /down")
    if count > ATTEMPTS:
        raise Probe("`GET /down`: every attempt is answered with 503", f"{ATTEMPTS} attempts at most").saw(
            f"{count} attempts",
            "Nothing caps the attempts. A service that is down gets more requests than one that is well, and does not "
            "come up again.",
        )
    if down.status is None:
        raise Probe("`GET /down`: every attempt is answered with 503", f"an answer within {BUDGET} s").saw(
            **failure_in_words(down)
        )


def _require_recovery(faulty: Faulty, call: Call, fault: str) -> None:
    if call.status == 200:
        return
    count = faulty.attempts(f"GET {call.path}")
    probe = Probe(f"`GET {call.path}`: {fault}", "status 200")
    seen = f"{said(call)} after {count} attempt{'s'[: count - 1]}"
    error = call.request.error if call.request else None
    if error is not None and type(error).__name__ == "HTTPStatusError":
        why = "The last answer was turned into an exception that the relay does not know. Return the answer itself."
    elif count == 1 and call.path == "/silent-once":
        why = (
            "A service that gives no answer once is not asked a second time: the first attempt used up all of the "
            "time, or its timeout is not caught. Each attempt needs a timeout of its own, shorter than the budget. "
            "asyncio.timeout raises TimeoutError, httpx a TransportError."
        )
    elif count == 1 and call.status == 503:
        why = "A 503 is not tried again. A response with status 503 is no exception: look at its status_code."
    elif call.status in (None, 504):
        why = "The pauses between the attempts used up the budget: make them shorter."
    else:
        why = "It was tried again, and given up before the service was well. There is time for more attempts."
    raise probe.saw(seen, why)


def _require_budget(faulty: Faulty, silent: Call, posted: Call) -> None:
    count = faulty.attempts("GET /silent")
    probe = Probe("`GET /silent`: no attempt is ever answered", f"status 504 after {BUDGET} s")
    seen = f"{said(silent)} after {silent.latency:.1f} s and {count} attempt{'s'[: count - 1]}"
    if count == 1 and silent.status in (None, 200):
        raise probe.saw(
            seen,
            "An attempt waits for ever: the client has `timeout=None`, and nothing else ends it. Each attempt needs a "
            "timeout.",
        )
    if count > IN_BUDGET:
        raise probe.saw(
            seen,
            f"Each attempt has a timeout, and all of them together have none: {ATTEMPTS} attempts of {ATTEMPT:g} s are "
            "far more than the budget. One asyncio.timeout goes around the whole loop.",
        )
    if silent.latency > TOO_LATE:
        raise probe.saw(seen, "The caller was promised an answer in time: the budget is for attempts and pauses alike.")
    if silent.status != 504:
        why = "Without an answer from the service, `ask` raises TimeoutError or httpx.TransportError: the relay makes "
        raise probe.saw(seen, f"{why}a 504 of it.")
    if posted.status in (None, 200) or posted.latency > TOO_LATE:
        raise Probe("`POST /silent`, which is never answered", f"an answer within {BUDGET} s").saw(
            f"{said(posted)} after {posted.latency:.1f} s",
            "A GET ends in time, a POST does not: what is not tried again needs a timeout as well.",
        )


def _require_budget_of_drops(drops: Call) -> None:
    if drops.status == 504 and drops.latency <= TOO_LATE:
        return
    probe = Probe(f"`GET /drops`: a drop of the body each 0.1 s, for {PATIENCE:g} s", f"status 504 after {BUDGET} s")
    seen = f"{said(drops)} after {drops.latency:.1f} s"
    if drops.status in (None, 200) or drops.latency > TOO_LATE:
        raise probe.saw(
            seen,
            "httpx's timeout is for each read, and each drop comes in time. Only a clock around the whole call, "
            "asyncio.timeout, sees that the answer as a whole does not.",
        )
    raise probe.saw(seen, "An answer that never becomes complete is none: a 504.")


async def _require_budget_kept(faulty: Faulty) -> None:
    """An attempt that begins when little is left of the budget gets no more than that."""
    asked, over = faulty.asked["GET /silent"], faulty.over["GET /silent"]
    await until(lambda: len(over) == len(asked), 1)  # the service hears a little later that the caller has left
    left = BUDGET - (asked[-1] - asked[0])
    took = over[-1] - asked[-1]
    if left < ATTEMPT / 2 and took > (left + ATTEMPT) / 2:
        raise Probe(
            "`GET /silent`: no attempt is ever answered",
            f"a last attempt that ends with the budget, {ms(left)} after it has begun",
        ).saw(
            f"one that took {ms(took)}",
            "The budget is looked at between the attempts only: the last one gets all of its time, though less was "
            "left. Put one asyncio.timeout around the whole loop, or give each attempt what is left.",
        )
