"""How the exercise "Not found, from the inside" is judged."""

import ast
import asyncio
import os
import random
import threading
from dataclasses import dataclass

from app_snippets.concurrency_in_a_request.checks.common import (
    AT_MOST,
    Services,
    called,
    ended,
    some_services,
)
from workbench.around import Call, Reply, burst
from workbench.clock import until
from workbench.judge import (
    Answer,
    Probe,
    calls,
    error_of,
    exercise,
    failure_in_words,
    functions,
    innermost,
    leaves,
    ms,
    nodes,
    said,
)
from workbench.judge.source import Function
from workbench.server import LiveServer

PATIENCE = 0.3  # seconds in which the three calls of a product come, where they are made side by side
SOON = 0.3  # seconds that an answer may come later than one in which nothing is missing; what is slow takes 0.6


@exercise(
    "Not found, from the inside",
    asks_for="app",
    hints=[
        "Print the type of what leaves the TaskGroup, and what is in its `exceptions`. What is in those of `offer`?",
        "`except*` looks into all levels of a group. What comes out when two `except*` blocks raise?",
        "One `except* HTTPException`, one `except* httpx.HTTPError`. Note the status in them. Raise after both.",
    ],
)
async def not_found(answer: Answer) -> str:
    """Missing at each level, all at once, a service that is down, a mixture, two callers: status, and what is left."""
    with some_services(PATIENCE) as services:
        os.environ["SERVICES_URL"] = services.url
        async with answer.served() as server:
            trials = _NotFound(answer, server, services)
            await trials.complete()
            await trials.text_missing()
            await trials.price_missing()
            await trials.nothing()
            await trials.broken("the stock service answers with 503", DOWN)
            await trials.broken("the answer of the stock service breaks off", Reply(0, whole=False))
            both = await trials.both()
            await trials.two_callers()
    return f"404 from each level and from both at once, 502 where a service is down, {both.status} for a mixture."


MISSING, DOWN, SLOW = Reply(0, {"detail": "nothing here"}, 404), Reply(0, status=503), Reply(0.6, 7)
FROM_ASK = {"HTTPException", "HTTPStatusError", "RemoteProtocolError"}  # what `ask` raises here
RAISED_INSIDE = (
    "You raise inside the `except*` blocks. Both of them ran, and two exceptions that are raised there are put into a "
    "group again. Note the status in the blocks, and raise once, after them."
)


@dataclass
class _NotFound:
    answer: Answer
    server: LiveServer
    services: Services
    quickest: float = 0.0  # seconds of a call in which nothing is missing

    async def ask(self, name: str, text: Reply, price: Reply, stock: Reply) -> Call:
        replies = {f"/texts/{name}": text, f"/prices/{name}": price, f"/stock/{name}": stock}
        return await called(self.server, self.services, f"/products/{name}", replies)

    async def ask_in_one_moment(self, name: str, text: Reply, price: Reply, stock: Reply) -> Call:
        """As `ask`, and the server's loop is held while the answers come in, so that it sees all of them at once."""
        paths = {f"/texts/{name}": text, f"/prices/{name}": price, f"/stock/{name}": stock}
        quick = {path for path, reply in paths.items() if not reply.seconds}
        holds, answered = threading.Event(), threading.Event()

        def hold() -> None:
            holds.set()
            answered.wait(AT_MOST)

        self.services.closed = True
        asking = asyncio.create_task(self.ask(name, text, price, stock))
        if await until(lambda: paths.keys() <= self.services.came, AT_MOST) and self.server.loop is not None:
            self.server.loop.call_soon_threadsafe(hold)
            await until(holds.is_set, AT_MOST)
        self.services.closed = False
        await until(lambda: quick <= self._answered(), AT_MOST)
        answered.set()
        return await asking

    def _answered(self) -> set[str]:
        """The paths whose answers have gone out."""
        return {one.path for one in list(self.services.server.record.requests) if one.done is not None}

    async def complete(self) -> None:
        number = random.randrange(1000)
        for _ in range(2):  # the first request of a server takes longer than others
            call = await self.ask("lamp", Reply(0, "a lamp"), Reply(0, number), Reply(0, 3))
        expected = {"text": "a lamp", "offer": {"price": number, "stock": 3}}
        if call.status != 200:
            raise Probe("`/products/lamp`, which is there", "status 200").saw(**failure_in_words(call))
        if call.parsed != expected:
            raise Probe("`/products/lamp`, which is there", f"`{expected}`").saw(
                said(call),
                "The product is complete at the services, and the answer is not what it was. Only what happens when "
                "something is missing is to be changed.",
            )
        self.quickest = call.latency

    async def text_missing(self) -> Call:
        tried = "`/products/ghost`, whose text is not there"
        call = await self.ask("ghost", MISSING, SLOW, SLOW)
        self._require_404(call, tried, self._still_a_group(call))
        await self._require_quiet(call, tried, {"/prices/ghost", "/stock/ghost"})
        return call

    async def price_missing(self) -> Call:
        tried = "`/products/gift`, whose price is not there"
        call = await self.ask("gift", SLOW, MISSING, SLOW)
        self._require_404(
            call,
            tried,
            "A missing text is a 404 now, a missing price is not. Its HTTPException is one level deeper: `offer` has a "
            "group of its own, so what leaves your group holds a group. except* and split() look into all levels.",
        )
        await self._require_quiet(call, tried, {"/texts/gift", "/stock/gift"})
        return call

    async def nothing(self) -> Call:
        call = await self.ask_in_one_moment("nothing", MISSING, MISSING, MISSING)
        self._require_404(
            call,
            "`/products/nothing`, of which text, price and stock are not there",
            "One that is missing is a 404, several at once are not. They can fail in the same moment, and then the "
            "group holds more than one exception, and one of them may be a group.",
        )
        return call

    async def broken(self, how: str, stock: Reply) -> None:
        tried = f"`/products/broken`, while {how}"
        call = await self.ask("broken", SLOW, SLOW, stock)
        if call.status == 404:
            why = (
                "A service is down, and the caller is told that the product does not exist. Not everything that leaves "
                "a group is a 404: look at what is in it."
            )
        elif _kinds(call) == {"HTTPStatusError"}:
            why = (
                "What is missing is answered well. What `ask` raises where a service is down still leaves the handler."
            )
        elif _kinds(call) == {"RemoteProtocolError"}:
            why = (
                "A service that answers with 503 is a 502 now, one that breaks off is not. `ask` raised "
                "httpx.RemoteProtocolError here. That is no HTTPStatusError; both are an httpx.HTTPError."
            )
        elif call.status is None or _kinds(call) - FROM_ASK:
            why = failure_in_words(call)["diagnosis"]
        else:
            why = "A service is down: the status for that is 502."
        if call.status != 502:
            raise Probe(tried, "status 502").saw(self._seen(call), why)
        await self._require_quiet(call, tried, {"/texts/broken", "/prices/broken"})

    async def both(self) -> Call:
        tried = "`/products/both`, whose text is not there, while the price service is down"
        call = await self.ask_in_one_moment("both", MISSING, DOWN, SLOW)
        if call.status not in (404, 502):
            if call.status is None or _kinds(call) - FROM_ASK:
                why = failure_in_words(call)["diagnosis"]
            elif self._raised_outside_ask(call):
                why = RAISED_INSIDE
            else:
                why = (
                    "Each of the two failures alone is answered well, both in the same moment are not: the group holds "
                    "one of each then, and only one of them was taken out of it."
                )
            raise Probe(tried, "status 404 or 502").saw(self._seen(call), why)
        await self._require_quiet(call, tried, {"/stock/both"})
        return call

    async def two_callers(self) -> None:
        """One of a product that is there, who gets the answer after one of a product that is not."""

        def refused() -> bool:
            return any(one.path == "/products/gone" and one.done for one in list(self.server.record.requests))

        there = {"/texts/bulb": Reply(0, "a bulb", ready=refused, patience=AT_MOST)}
        there |= {"/prices/bulb": Reply(0, 5), "/stock/bulb": Reply(0, 2)}
        self.services.replies.update(there | {f"/{part}/gone": MISSING for part in ("texts", "prices", "stock")})
        self.services.expect(set(there))
        both = await burst(self.server, ["/products/bulb", "/products/gone"], 2, timeout=AT_MOST)
        expected = {"text": "a bulb", "offer": {"price": 5, "stock": 2}}
        if both.statuses != [200, 404] or both.calls[0].parsed != expected:
            raise Probe("two callers at once, of a product that is there and of one that is not", "200 and 404").saw(
                f"{said(both.calls[0])}, and {said(both.calls[1])}",
                "One after another, each of them gets the right answer. They share what belongs to one request: a "
                "status that is kept outside of the handler is everybody's.",
            )

    def _require_404(self, call: Call, tried: str, why: str) -> None:
        if call.status == 404:
            return
        kinds = _kinds(call)
        if call.request is not None and call.request.cancelled:
            why = (
                "The group cancelled the tasks beside the one that failed, and result() of a cancelled task raises "
                "CancelledError. After a failure, do not come to the results: raise the 404 before."
            )
        elif "ResponseValidationError" in kinds:
            why = (
                "What a handler returns is the body of an answer with status 200, and this is no product. Another "
                "status is raised: `raise HTTPException(404)`."
            )
        elif call.status == 200:
            why = (
                "Something is missing, and the caller is told that all is well. Catching it is half of it: raise a 404."
            )
        elif call.status is None or kinds - {"HTTPException"}:
            why = failure_in_words(call)["diagnosis"]
        elif call.status != 500:
            why = f"Something is missing: the status for that is 404, and not {call.status}."
        raise Probe(tried, "status 404").saw(self._seen(call), why)

    def _seen(self, call: Call) -> str:
        error = error_of(call)
        if error is None:
            return said(call)
        kind = type(error).__name__
        inside = ", ".join(sorted({type(leaf).__name__ for leaf in leaves(error)}))
        return f"status 500, {kind}" + (f" with {inside} in it" if isinstance(error, BaseExceptionGroup) else "")

    def _still_a_group(self, call: Call) -> str:
        if self._raised_outside_ask(call):
            return RAISED_INSIDE
        handler = [one for one in functions(self.answer.source) if one.name == "product"]
        if _catches(handler, ast.TryStar):
            return (
                "`except*` caught the HTTPException, and what its block raised is a group again: a `raise` by itself "
                "puts it back. Note in the block that there was one, and raise a new one after the block."
            )
        if _catches(handler, ast.Try):
            return (
                "`except HTTPException` was not reached. What leaves the block is an ExceptionGroup, and a plain "
                "`except` compares with that, not with what is in it. `except*` looks inside."
            )
        return (
            "What leaves the TaskGroup is an ExceptionGroup with the HTTPException in it. FastAPI answers an "
            "HTTPException; a group it does not know, and that is a 500."
        )

    def _raised_outside_ask(self, call: Call) -> bool:
        found = [_function_at(self.answer.source, innermost(one.__traceback__)) for one in leaves(error_of(call))]
        return bool(found) and "ask" not in found

    def _gathers(self) -> bool:
        return bool(calls(self.answer.source, "gather"))

    async def _require_quiet(self, call: Call, tried: str, others: set[str]) -> None:
        waited = others & set(self.services.finished)
        if self.services.apart:
            unasked = others - set(self.services.asked)
            raise Probe(tried, "text, price and stock asked for side by side").saw(
                f"a failure, and {_listed(unasked)} not asked for yet" if unasked else "one after another",
                "The status is right, and some of the calls are made one after another now: what is to run side by "
                "side is begun in one group, before any of it is awaited.",
            )
        probe = Probe(tried, "the other requests ended, and the answer out, at the first failure")
        if waited:
            raise probe.saw(
                f"an answer after {ms(call.latency)}, when {_listed(waited)} had come to an end",
                "The status is right, and late: the others were waited for, though nobody needs them any more. A child "
                "that raises ends the others of its TaskGroup. One that returns its failure does not, nor does "
                "gather(return_exceptions=True).",
            )
        await ended(self.services, others)
        if left := others & set(self.services.finished):
            raise probe.saw(
                f"status {call.status} after {ms(call.latency)}, and {_listed(left)} went on to the end",
                f"The status is right, and {_listed(left)} went on with nobody waiting: an orphan. "
                + ("gather hands out the first error, and lets the others go on. " if self._gathers() else "")
                + "Keep the TaskGroup: it cancels the others when one fails.",
            )
        if call.latency > self.quickest + SOON:
            raise probe.saw(
                f"an answer after {ms(call.latency)}",
                "The answer was known at once, and went out much later: something still waits.",
            )


def _listed(paths: set[str]) -> str:
    return " and ".join(f"`{path}`" for path in sorted(paths))


def _function_at(source: str, line: int | None) -> str:
    """The innermost function of the cell that a line is in."""
    return ([""] + [one.name for one in functions(source) if line and one.lineno <= line <= (one.end_lineno or 0)])[-1]


def _kinds(call: Call) -> set[str]:
    """The names of what left the handler."""
    return {type(leaf).__name__ for leaf in leaves(error_of(call))}


def _catches(found: list[Function], kind: type[ast.Try] | type[ast.TryStar]) -> bool:
    blocks = [block for function in found for block in nodes(function, kind)]
    caught = [one.type for block in blocks for one in block.handlers if one.type is not None]
    return any("HTTPException" in ast.unparse(one) for one in caught)
