"""How the exercise "Fix the report" is judged."""

import os
import secrets

from app_snippets.blocking_and_waiting.checks.common import (
    AS_LONG,
    CALLS,
    MOST,
    TRIED,
    WAIT,
    answers_otherwise,
    require_answered,
    require_free_loop,
)
from workbench.around import Reply, Upstream, ask, upstream
from workbench.judge import Answer, Held, Probe, exercise, ms, require_pings, trial

PATIENCE = 0.4  # seconds for which the service keeps an answer back until MOST calls are there
LATER = "one more call, when the service has other figures"


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
    """Concurrent reports, each with its pause and its own question to the service, over connections that stay."""
    figures, other = ({"orders": number} for number in _two_numbers())
    with upstream({}, name="figures") as service:

        def most_came() -> bool:
            """Whether so many are there at once, or one has waited for them in vain, which is enough to see it."""
            return service.peak >= MOST or bool(service.finished)

        service.replies["/figures"] = Reply(WAIT / 2, figures, ready=most_came, patience=PATIENCE)
        os.environ["FIGURES_URL"] = service.url
        async with answer.served() as server:
            service.forget()  # what was asked at the start
            seen = await trial(answer, server, "/report", CALLS)
            require_pings(seen.beat, TRIED)
            require_answered(TRIED, seen.burst.calls)
            _require_questions(service)
            require_free_loop(seen, _who_holds)
            for call in seen.burst.calls:
                if call.parsed != figures:
                    raise answers_otherwise(TRIED, call, figures)
            known = _connections(service)
            at_once = service.peak
            service.replies["/figures"] = Reply(0, other)
            later = await ask(server, "/report", timeout=2)
            asked = list(service.server.record.requests)[-1].arrived
    require_answered(LATER, [later])
    if later.parsed != other:
        raise Probe(LATER, f"`{other}` from `/report`").saw(
            f"`{later.text[:80]}`",
            "The service has other figures by now, and they are not in the answer. Nothing may keep what it said "
            "before: each report asks for itself.",
        )
    if later.request:
        _require_pause(asked - later.request.arrived)
    if not _connections(service) <= known:
        raise Probe(LATER, "a connection that the service knows").saw(
            "a new connection",
            "Each report opens a connection of its own. So does a client that is built for each request, and "
            "`httpx.get()` builds one, too; a client that keeps no connection does it as well. It costs time, and "
            "building a client takes tens of milliseconds of the processor: open one in the lifespan, and share it.",
        )
    if at_once < MOST:
        raise Probe(TRIED, "most of the calls at the service together").saw(
            f"at most {at_once} of them, and the last answer after {seen.burst.wall:.2f} s",
            "The loop is free, but the calls still take turns: something lets only a few of them in at a time, a lock "
            "or one connection for all.",
        )
    return f"{CALLS} answers in {seen.burst.wall:.2f} s, longest ping {ms(seen.beat.longest)}."


def _two_numbers() -> list[int]:
    first = secrets.randbelow(1_000_000)
    return [first, first + 1]


def _connections(service: Upstream) -> set[int | None]:
    """The ports of those who asked the service so far."""
    return {request.client_port for request in list(service.server.record.requests)}


def _require_questions(service: Upstream) -> None:
    """Each report has asked the service. Raises NotYet."""
    asked = len(service.asked)
    if asked < CALLS:
        raise Probe(TRIED, f"{CALLS} questions to the service").saw(
            f"{asked} of them",
            "Some reports answer with what another one has asked for: it is kept, or shared. The figures change, so "
            "each report asks for itself."
            if asked
            else "No report asks the service: its answer was made up, or it was there before the call. The figures "
            "change, so each report asks for itself, in the handler.",
        )


def _require_pause(seconds: float) -> None:
    """The service was asked so long after a call had come. Raises NotYet."""
    if seconds < AS_LONG * WAIT:
        raise Probe(LATER, f"the service is asked {ms(WAIT)} after it has come").saw(
            ms(seconds),
            "The handler asks the service without its pause before. The pause stays: it is awaited, so that it takes "
            f"place, it takes {WAIT:g} s, and the service is asked after it and not meanwhile.",
        )


def _who_holds(held: list[Held]) -> str:
    pauses = [one for one in held if one.calling == ""]
    calls = [one for one in held if one.calling != ""]
    if pauses and calls:
        return (
            f"Both waits still hold the loop: {pauses[0]}, and {calls[0]}. `async def` only permits `await`; a call "
            "that is not awaited stops the thread, and the loop with it."
        )
    if pauses:
        return (
            "Asking the service leaves the loop free now, but the pause does not: "
            f"{pauses[0]} stops the thread that the loop lives in."
        )
    return (
        f"The pause leaves the loop free now, but the service is still asked with a synchronous client: {calls[0]} "
        "holds the loop for as long as the service takes."
    )
