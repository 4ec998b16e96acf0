"""How the exercise "A dashboard that keeps its promise" is judged."""

import os
import random
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app_snippets.concurrency_in_a_request.checks.common import (
    Services,
    at_rest,
    called,
    ended,
    some_services,
)
from workbench.around import Call, Reply
from workbench.judge import (
    Answer,
    NotYet,
    Probe,
    calls,
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

BUDGET = 0.3  # seconds, as the exercise has it
PATIENCE = 0.15  # seconds in which both calls of a dashboard come; who gives each a BUDGET can wait so long for one
IN_TIME = BUDGET / 3  # seconds for recommendations that must be shown
SLOW_USER = 0.4  # seconds: a budget that the user shares, or has too, is over by then
LATE = 0.55  # seconds for recommendations that must not be shown; a BUDGET that begins after the user lasts longer
VERY_LATE = 1.2  # seconds for them, to find out why they were shown
EXPECTED = {"TimeoutError", "CancelledError", "HTTPStatusError", "RemoteProtocolError", "ReadTimeout", "HTTPException"}
USER_CANCELLED = (
    "What the recommendations raised ended the call for the user, who was still on the way. A TaskGroup cancels the "
    "others when one child raises, whoever catches it outside. Catch in the child what may fail."
)


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
    """All well, late and failing recommendations, a failing user: answers, and what the services saw."""
    user, ids = secrets.token_hex(4), [random.randrange(1000) for _ in range(3)]
    with some_services(PATIENCE) as services:
        os.environ["SERVICES_URL"] = services.url
        async with answer.served() as server:
            trials = _Dashboard(answer.source, server, services, user, ids)
            await trials.all_well()
            await trials.late()
            await trials.failing()
            await trials.breaking_off()
            await trials.no_user()
            await trials.in_time()
    return "Recommendations in time are shown, late and failing ones are left out, and no call outlived its request."


@dataclass
class _Dashboard:
    source: str
    server: LiveServer
    services: Services
    user: str
    ids: list[int]

    @property
    def whole(self) -> dict[str, Any]:
        """The dashboard while all is well."""
        return {"user": self.user, "recommendations": self.ids}

    @property
    def without(self) -> dict[str, Any]:
        """The dashboard without recommendations."""
        return {"user": self.user, "recommendations": []}

    async def ask(self, user: Reply, recommendations: Reply) -> Call:
        replies = {"/user": user, "/recommendations": recommendations}
        return await called(self.server, self.services, "/dashboard", replies)

    def after(self, path: str) -> Callable[[], object]:
        """What a Reply waits for that comes when all is done about the reply to another path."""
        return lambda: at_rest(self.server, self.services, path)

    async def all_well(self) -> None:
        tried = "`/dashboard`, while all is well"
        first = await self.ask(Reply(0), Reply(0))  # it takes much longer than others, and BUDGET can pass
        apart = self.services.apart
        call = await self.ask(Reply(0, self.user), Reply(0, self.ids))
        if call.status != 200:
            raise Probe(tried, "status 200").saw(**failure_in_words(call))
        if call.parsed != self.whole:
            if call.parsed == self.without and "/recommendations" in self.services.asked:
                await self.in_time()
            raise Probe(tried, f"`{self.whole}`").saw(
                said(call),
                "All is well at the services, and the dashboard does not show what they said. "
                + self._why_not_shown(call.parsed),
            )
        if apart and self.services.apart:
            raise await self.one_after_another(tried)
        if (seconds := min(first.latency, call.latency)) >= BUDGET:
            raise Probe(tried, "an answer as soon as both have answered").saw(
                f"an answer after {ms(seconds)}, though both services answered at once",
                "The dashboard waits when there is nothing left to wait for. BUDGET is the most that the "
                "recommendations may take, not what they always take.",
            )

    def _why_not_shown(self, body: Any) -> str:
        if isinstance(body, dict) and body.get("recommendations") == []:
            return "The empty list is for recommendations that are late or fail; these were neither."
        return "Its keys are `user` and `recommendations`, with what each service answered."

    async def one_after_another(self, tried: str) -> NotYet:
        """Which way of asking one after the other it is: with budgets or without."""
        first = self.services.asked[0]
        call = await self.ask(Reply(0, self.user), Reply(VERY_LATE, self.ids))
        if call.parsed == self.without:  # the recommendations were not waited for
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

    async def late(self) -> None:
        """The user takes longer than BUDGET, and the recommendations even longer."""
        tried = f"`/dashboard`, while the user takes {ms(SLOW_USER)} and the recommendations take {ms(LATE)}"
        call = await self.ask(Reply(SLOW_USER, self.user), Reply(LATE, self.ids))
        if call.status != 200 or call.parsed != self.without:
            why = await self._why_late(call)
            raise Probe(tried, f"status 200, `{self.without}`").saw(self._seen(call), why)
        await ended(self.services, {"/recommendations"})
        if "/recommendations" in self.services.finished:
            raise Probe(tried, "the request to `/recommendations` ended with the budget").saw(
                "the dashboard went out, and the request went on",
                "You stopped waiting, and the call did not stop: nobody cancelled it. asyncio.wait() and shield() "
                "leave the task running; asyncio.timeout() and wait_for() cancel it.",
            )

    async def _why_late(self, call: Call) -> str:
        """Ask once more, with a user who comes at once. Raises NotYet where that goes wrong, too."""
        again = await self.ask(Reply(0, self.user), Reply(VERY_LATE, self.ids))
        tried = f"`/dashboard`, while the recommendations take {ms(VERY_LATE)}"
        if again.status is None or again.parsed == self.whole:
            raise Probe(tried, f"`{self.without}` after {ms(BUDGET)}").saw(
                f"{said(again)}, after {ms(again.latency)}",
                "The dashboard waits for as long as the recommendations take. They are optional: give them BUDGET "
                "seconds, and no more.",
            )
        self._require_empty(again, tried, self._late_in_words)
        if call.parsed != self.whole:
            alone = await self.ask(Reply(SLOW_USER, self.user), Reply(0, self.ids))
            if alone.parsed == self.whole:
                return USER_CANCELLED
            return (
                "The user took longer than BUDGET, and was given up. BUDGET is for the recommendations alone: the user "
                "is required, and waited for. Look for a timeout around the user's call, too, or in the client itself."
            )
        if again.latency < LATE:
            return (
                "There is a budget, and it begins too late: when the user is there. BUDGET seconds from when the "
                "request begins: put the timeout into the child, around the call itself."
            )
        return "There is a budget, and it is too large: BUDGET seconds from when the request begins."

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

    async def failing(self) -> None:
        """They fail before the user is there."""
        call = await self.ask(
            Reply(0, self.user, ready=self.after("/recommendations")), Reply(0, "out of order", status=500)
        )
        tried = "`/dashboard`, while the recommendations fail, and the user comes after that"
        await ended(self.services, {"/user"})
        self._require_empty(call, tried, self._failing_in_words)

    def _failing_in_words(self, call: Call) -> str:
        return (
            "Late recommendations are left out, but failing ones take the whole dashboard with them. `ask` raises an "
            "httpx.HTTPError then: what is optional may fail in that way, too."
        )

    async def breaking_off(self) -> None:
        """They fail after the user has come, and without a status."""
        call = await self.ask(Reply(0, self.user), Reply(0, whole=False, ready=self.after("/user")))
        tried = "`/dashboard`, while the user is there, and the answer with the recommendations breaks off"
        self._require_empty(call, tried, self._breaking_off_in_words)

    def _breaking_off_in_words(self, call: Call) -> str:
        return (
            "Recommendations that fail with a status are left out. Here no whole answer came, and `ask` raised "
            "httpx.RemoteProtocolError. That is no HTTPStatusError; both are an httpx.HTTPError."
        )

    def _require_empty(self, call: Call, tried: str, otherwise: Callable[[Call], str]) -> None:
        body = call.parsed
        if call.status == 200 and body == self.without:
            return
        names = {type(leaf).__name__ for leaf in leaves(error_of(call))}
        part = body.get("recommendations") if isinstance(body, dict) else None
        user_there = isinstance(body, dict) and body.get("user") == self.user
        if {"PydanticSerializationError", "UnserializableValueError"} & names or (
            isinstance(part, dict) and calls(self.source, "gather")
        ):
            why = (
                "What went into the dashboard is the exception itself: gather(return_exceptions=True) hands it out as "
                "if it were a result, and it raises nothing. Look whether a result is one, or catch it where it is "
                "raised."
            )
        elif "/user" in self.services.abandoned and names <= {"CancelledError"}:
            why = USER_CANCELLED
        elif "CancelledError" in names or (call.request is not None and call.request.cancelled):
            why = "result() of a task that was cancelled raises CancelledError. Ask whether it has a result first."
        elif user_there and call.status == 200:
            why = f"The user is there, but `recommendations` is {quoted(part, 40)}: what is missing is an empty list."
        elif names and not names & EXPECTED:
            why = failure_in_words(call)["diagnosis"]
        else:
            why = otherwise(call)
        raise Probe(tried, f"status 200, `{self.without}`").saw(self._seen(call), why)

    def _seen(self, call: Call) -> str:
        for leaf in leaves(error_of(call))[:1]:
            where = place_in_words(innermost(leaf.__traceback__))
            return f"status 500, {type(leaf).__name__}" + (f" at {where}" if where else "")
        return said(call)

    async def no_user(self) -> None:
        tried = "`/dashboard`, while the user fails at once and the recommendations are on their way"
        replies = Reply(0, status=503), Reply(BUDGET / 3, self.ids, ready=self.after("/user"))
        call = await self.ask(*replies)
        waited_for = "/recommendations" in self.services.finished
        if call.status is None:
            raise Probe(tried, "a status of 500 or above").saw(**failure_in_words(call))
        if call.status < 500:
            raise Probe(tried, "a status of 500 or above").saw(said(call), self._not_told(call.status))
        probe = Probe(tried, "the request to `/recommendations` ended when the user had failed")
        if waited_for:
            raise probe.saw(
                f"the error went out after {ms(call.latency)}, when the recommendations were there",
                "Nothing is left to hope for once the user has failed, and still the recommendations were waited for. "
                "gather(return_exceptions=True), asyncio.wait() and a wait for each in turn do that.",
            )
        await ended(self.services, {"/recommendations"})
        if "/recommendations" in self.services.finished:
            raise probe.saw(
                f"the error went out after {ms(call.latency)}, and the request went on to its end",
                "An orphan: the user's error left the handler, and the task of the recommendations went on by itself. "
                "Neither create_task nor gather ends a task when its sibling fails. A TaskGroup does.",
            )

    def _not_told(self, status: int) -> str:
        if status >= 400:
            return (
                f"A service is down, and status {status} tells the caller that the request was wrong. What is wrong on "
                "this side has a status of 500 or above."
            )
        return (
            "The user failed, and the caller is not told. Without the user there is no dashboard: only what is "
            "optional has a substitute. Let this error out."
        )

    async def in_time(self) -> None:
        """They come after the user, and within BUDGET."""
        tried = f"`/dashboard`, while the user is there at once and the recommendations take {ms(IN_TIME)}"
        call = await self.ask(Reply(0, self.user), Reply(IN_TIME, self.ids))
        if call.parsed == self.whole:
            return
        if call.status != 200:
            raise Probe(tried, "status 200").saw(**failure_in_words(call))
        again = await self.ask(Reply(2 * IN_TIME, self.user), Reply(IN_TIME, self.ids))
        raise Probe(tried, f"`{self.whole}`").saw(
            f"{said(call)}, after {ms(call.latency)}",
            "Recommendations that come before the user are shown, and those that come after the user are not, though "
            "BUDGET is not over. They have BUDGET seconds, however quick the user is."
            if again.parsed == self.whole
            else "The recommendations came in time, and were not waited for: they have BUDGET seconds, and no less.",
        )
