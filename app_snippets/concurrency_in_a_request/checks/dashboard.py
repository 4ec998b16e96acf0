"""How the exercise "A dashboard that keeps its promise" is judged."""

import os
import random
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app_snippets.concurrency_in_a_request.checks.common import Services, called, ended, some_services
from workbench.around import Call, Reply
from workbench.clock import until
from workbench.judge import (
    Answer,
    NotYet,
    Probe,
    error_of,
    exercise,
    failure_in_words,
    innermost,
    leaves,
    ms,
    place_in_words,
    quoted,
    said,
)
from workbench.server import LiveServer

IN_TIME = 0.6  # seconds for a dashboard: its own budget of 0.3 s, and five times what a call takes on a slow machine
PATIENCE = 0.15  # seconds in which both calls of a dashboard come; who gives each a BUDGET can wait so long for one
LATE = 3  # seconds for the recommendations, where nobody may wait for them


@exercise(
    "A dashboard that keeps its promise",
    asks_for="app",
    hints=[
        "Two calls, side by side, where the failure of one must end the other: gather or TaskGroup?",
        "The recommendations can be late, and they can fail, and neither may be seen outside. Give them a function of "
        "their own, with the timeout in it.",
        "In that function: try, async with asyncio.timeout(BUDGET), return await ask(…), except (TimeoutError, "
        "httpx.HTTPError), return [].",
    ],
)
async def dashboard(answer: Answer) -> str:
    """All well, late recommendations, failing ones, and a failing user: answers, and what the services saw."""
    user, ids = secrets.token_hex(4), [random.randrange(1000) for _ in range(3)]
    with some_services(PATIENCE) as services:
        os.environ["SERVICES_URL"] = services.url
        async with answer.served() as server:
            trials = _Dashboard(server, services, user, ids)
            await trials.all_well()
            late = await trials.late()
            await trials.failing()
            await trials.no_user()
    return f"Late recommendations: the dashboard after {late.latency:.2f} s without them. No call outlived its request."


@dataclass
class _Dashboard:
    server: LiveServer
    services: Services
    user: str
    ids: list[int]

    async def ask(self, user: Reply, recommendations: Reply) -> Call:
        replies = {"/user": user, "/recommendations": recommendations}
        return await called(self.server, self.services, "/dashboard", replies)

    async def all_well(self) -> Call:
        await self.ask(Reply(0), Reply(0))  # the first request takes much longer than others, and BUDGET passes
        tried = "`/dashboard`, while all is well"
        call = await self.ask(Reply(0, self.user), Reply(0, self.ids))
        if call.status != 200:
            raise Probe(tried, "status 200").saw(**failure_in_words(call))
        expected = {"user": self.user, "recommendations": self.ids}
        if call.parsed != expected:
            raise Probe(tried, f"`{expected}`").saw(
                said(call),
                "All is well at the services, and the dashboard does not show what they said. "
                + self._why_not_shown(call.parsed),
            )
        if self.services.apart:
            raise await self.one_after_another(tried)
        return call

    def _why_not_shown(self, body: Any) -> str:
        if isinstance(body, dict) and body.get("recommendations") == []:
            return "The empty list is for recommendations that are late or fail; these were neither."
        return "Its keys are `user` and `recommendations`, with what each service answered."

    async def one_after_another(self, tried: str) -> NotYet:
        """Which way of asking one after the other it is: with budgets or without."""
        first = self.services.asked[0]
        call = await self.ask(Reply(0, self.user), Reply(LATE, self.ids))
        if call.status is not None:  # the recommendations were not waited for
            why = (
                "Each call has a timeout, and they run one after another: what they may take adds up. A budget bounds "
                "one wait; it does not make two waits one. Start both first."
            )
        else:
            why = (
                "The second call begins when the first has been answered. A coroutine does not run until it is "
                "awaited; a task does."
            )
        return Probe(tried, "both services asked side by side").saw(
            f"`{first}` was asked for first, and the other when it had been answered", why
        )

    async def late(self) -> Call:
        call = await self.ask(Reply(0.05, self.user), Reply(LATE, self.ids))
        tried = f"`/dashboard`, while the recommendations take {LATE} s"
        if call.status is None:
            raise Probe(tried, f"an answer within {ms(IN_TIME)}").saw(
                said(call),
                "The dashboard waits for as long as the recommendations take. They are optional: give them BUDGET "
                "seconds, and no more.",
            )
        self._require_empty(call, tried, self._late_in_words)
        if call.latency > IN_TIME:
            raise Probe(tried, f"an answer within {ms(IN_TIME)}").saw(
                ms(call.latency), "There is a budget, and it is too large: BUDGET seconds from when the request begins."
            )
        if not await until(lambda: "/recommendations" in self.services.abandoned, 0.3):  # else it is at once
            raise Probe(tried, "the request to `/recommendations` ended with the budget").saw(
                "the dashboard went out, and the request went on",
                "You stopped waiting, and the call did not stop: nobody cancelled it. asyncio.wait() and shield() "
                "leave the task running; asyncio.timeout() and wait_for() cancel it.",
            )
        return call

    def _late_in_words(self, call: Call) -> str:
        if isinstance(error := error_of(call), ExceptionGroup) and error.subgroup(TimeoutError):
            return (
                "The time is over, and nobody catches what says so. asyncio.timeout() raises TimeoutError where its "
                "block ends: the `try` stands around the `async with`, in the child."
            )
        return (
            "The time was over for the recommendations, and the user, who was there by then, was thrown away with "
            "them. A timeout ends everything in its block: put it around the recommendations alone, and have an empty "
            "list where it raises TimeoutError."
        )

    async def failing(self) -> Call:
        call = await self.ask(Reply(0, self.user), Reply(0, "out of order", status=500))
        self._require_empty(call, "`/dashboard`, while the recommendations fail", self._failing_in_words)
        return call

    def _failing_in_words(self, call: Call) -> str:
        return (
            "Late recommendations are left out, but failing ones take the whole dashboard with them. `ask` raises an "
            "httpx.HTTPError then: what is optional may fail in that way, too."
        )

    def _require_empty(self, call: Call, tried: str, otherwise: Callable[[Call], str]) -> None:
        expected = {"user": self.user, "recommendations": []}
        body = call.parsed
        if call.status == 200 and body == expected:
            return
        names = {type(leaf).__name__ for leaf in leaves(error_of(call))}
        part = body.get("recommendations") if isinstance(body, dict) else None
        user_there = isinstance(body, dict) and body.get("user") == self.user
        if {"PydanticSerializationError", "UnserializableValueError"} & names or isinstance(part, dict):
            why = (
                "What went into the dashboard is the exception itself: gather(return_exceptions=True) hands it out as "
                "if it were a result, and it raises nothing. Look whether a result is one, or catch it where it is "
                "raised."
            )
        elif "CancelledError" in names or (call.request is not None and call.request.cancelled):
            why = "result() of a task that was cancelled raises CancelledError. Ask whether it has a result first."
        elif user_there and call.status == 200:
            why = f"The user is there, but `recommendations` is {quoted(part, 40)}: what is missing is an empty list."
        elif names and not names & {"TimeoutError", "CancelledError", "HTTPStatusError", "HTTPException"}:
            why = failure_in_words(call)["diagnosis"]
        else:
            why = otherwise(call)
        raise Probe(tried, f"status 200, `{expected}`").saw(self._seen(call), why)

    def _seen(self, call: Call) -> str:
        for leaf in leaves(error_of(call))[:1]:
            where = place_in_words(innermost(leaf.__traceback__))
            return f"status 500, {type(leaf).__name__}" + (f" at {where}" if where else "")
        return said(call)

    async def no_user(self) -> Call:
        tried = "`/dashboard`, while the user fails at once and the recommendations take 150 ms"
        call = await self.ask(Reply(0, status=503), Reply(0.15, self.ids))  # half of BUDGET: an orphan comes to its end
        waited_for = "/recommendations" in self.services.finished
        if call.status is None or call.status < 500:
            raise Probe(tried, "a status of 500 or above").saw(
                said(call),
                "The user failed, and the caller is not told. Without the user there is no dashboard: only what is "
                "optional has a substitute. Let this error out.",
            )
        probe = Probe(tried, "the request to `/recommendations` ended when the user had failed")
        if waited_for:
            raise probe.saw(
                f"the error went out after {ms(call.latency)}, when the recommendations were there",
                "Nothing is left to hope for once the user has failed, and still the recommendations were waited for. "
                "gather(return_exceptions=True) and a wait for each in turn do that.",
            )
        await ended(self.services, {"/recommendations"})
        if "/recommendations" in self.services.finished:
            raise probe.saw(
                f"the error went out after {ms(call.latency)}, and the request went on to its end",
                "An orphan: the user's error left the handler, and the task of the recommendations went on by itself. "
                "Neither create_task nor gather ends a task when its sibling fails. A TaskGroup does.",
            )
        return call
