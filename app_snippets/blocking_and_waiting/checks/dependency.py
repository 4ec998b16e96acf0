"""How the exercise "The blocker that hides" is judged."""

import asyncio
import functools
import sys
from collections import Counter
from dataclasses import dataclass

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
from workbench import clock
from workbench.around import Burst, Call, ask, heartbeat
from workbench.judge import Answer, Held, Probe, Trial, exercise, frames_of_the_cell, looking, ms, require_pings
from workbench.server import LiveServer

USERS = {"secret-1": "ada", "secret-2": "grace", "": "nobody"}  # by their tokens, "" for no header
DATABASE = 0.05  # seconds that the endpoint waits for its database
ALONE = "one more call, with `token: secret-2`"


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
    """Concurrent orders with a free loop, each caller's own account, and a look-up for each call."""
    tokens = [list(USERS)[number % len(USERS)] for number in range(CALLS)]
    async with answer.served() as server:
        with looking(functools.partial(_look, server)) as looks:
            with answer.watched(server) as held:
                async with heartbeat(server) as beat:
                    start = clock.now()
                    calls = await asyncio.gather(*(_order(server, token) for token in tokens))
            looks_at_them = list(looks)
            if all(call.status is None for call in calls):
                require_answered(TRIED, calls)
            alone = await _order(server, "secret-2")
            looks_at_it = looks[len(looks_at_them) :]
    seen = Trial(Burst(calls, start, max(call.end for call in calls), server), beat, held)
    require_pings(beat, TRIED)
    require_answered(TRIED, calls)
    require_answered(ALONE, [alone])
    require_free_loop(seen, functools.partial(_which_dependency, answer, _caller(looks_at_them)))
    _require_accounts(tokens, calls, alone, any(look.asking for look in looks_at_it))
    at_once = max((look.asking for look in looks_at_them), default=0)
    _require_look_up(answer, alone, bool(at_once), any(look.asking for look in looks_at_it))
    if at_once < MOST:
        raise Probe(TRIED, "most of the calls in `look_up` at the same time").saw(
            f"at most {at_once} of them, and the last answer after {seen.burst.wall:.2f} s",
            f"The loop is free, but the calls take turns now: something lets only {at_once} of them in at a time, or "
            "has them wait for the look-up of another one.",
        )
    return f"{CALLS} answers in {seen.burst.wall:.2f} s, longest ping {ms(seen.beat.longest)}."


@dataclass(frozen=True)
class _Look:
    asking: int  # threads beside the loop's that are in `look_up`
    on_the_loop: str  # the function of the cell that the loop is in, the outermost one


def _look(server: LiveServer) -> _Look:
    threads = {ident: frames_of_the_cell(ident) for ident in sys._current_frames()}
    mine = threads.pop(server.thread.ident or 0, [])
    asking = sum(any(frame.f_code.co_name == "look_up" for frame in frames) for frames in threads.values())
    return _Look(asking, mine[-1].f_code.co_name if mine else "")


def _caller(looks: list[_Look]) -> str:
    """The function of the cell that the loop was in the most."""
    names = Counter(look.on_the_loop for look in looks if look.on_the_loop)
    return names.most_common(1)[0][0] if names else ""


async def _order(server: LiveServer, token: str) -> Call:
    """One call of /orders, with that token."""
    return await ask(server, "/orders", headers={"token": token} if token else None, timeout=4)


def _require_accounts(tokens: list[str], calls: list[Call], alone: Call, asked: bool) -> None:
    """Each call was answered with its own account. asked: the call alone was in `look_up`. Raises NotYet."""
    right = {"user": "grace", "currency": "EUR"}
    if alone.parsed != right:
        if not _names_a_user(alone):
            raise answers_otherwise(ALONE, alone, right)
        raise Probe(ALONE, f"`{right}`").saw(
            f"{alone.status}, `{alone.text[:80]}`",
            "The directory is asked, and not with the token of the header. `Annotated[str, Header()]` is what makes "
            "FastAPI read it from there; without it, a parameter comes from the query string."
            if asked
            else "The token no longer decides whose account it is. The directory must still be asked, for each "
            "request: move the call, do not drop it.",
        )
    for call, token in zip(calls, tokens, strict=True):
        expected = {"user": USERS[token], "currency": "EUR"}
        if call.parsed != expected:
            if not _names_a_user(call):
                raise answers_otherwise(TRIED, call, expected)
            raise Probe(TRIED, f"`{expected}` for `{token or 'no token'}`").saw(
                f"`{call.text[:80]}`",
                "A call that is alone gets its own account, and one among others gets that of somebody else. The token "
                "or the user is kept where all calls share it, and the next call writes over it: hand it on as an "
                "argument.",
            )


def _names_a_user(call: Call) -> bool:
    return isinstance(call.parsed, dict) and call.parsed.get("user") in USERS.values()


def _require_look_up(answer: Answer, alone: Call, among_others: bool, by_itself: bool) -> None:
    """The call that came last was in `look_up`, and took as long as it takes. Raises NotYet."""
    takes = WAIT + DATABASE
    took = (alone.request.duration if alone.request else None) or alone.latency
    probe = Probe(f"{TRIED}, then {ALONE}", f"every call in `look_up`, and {ms(takes)} for the last one")
    if among_others and not by_itself:
        raise probe.saw(
            "the last one was not in `look_up`",
            "The directory was asked, but not for each call: what it said is kept. A token that it takes back would "
            "stay good. Ask it for each call.",
        )
    if not by_itself:
        raise probe.saw(
            "no call in `look_up`",
            "`look_up` is the directory's SDK, which is synchronous and not yours to change. It must still be asked, "
            "for each request, and as it is: in a thread of this process.",
        )
    if took < AS_LONG * takes:
        raise probe.saw(
            f"{ms(took)} for the last one",
            (
                "`look_up` was changed, and takes less time than it did: it stands for an SDK that is not yours to "
                "change. "
                if answer.changed("look_up")
                else "One of the two waits is shorter than it was, that of `look_up` or that of the database. "
            )
            + "The waits stay as long as they are, only off the loop.",
        )


def _which_dependency(answer: Answer, caller: str, held: list[Held]) -> str:
    where = held[0]
    if caller not in ("get_user", ""):
        return (
            f"The loop is held by what `{caller}` calls now: {where}. From one function of the loop to another it is "
            "the same thread. The blocking call itself must leave the loop's thread."
        )
    if not asyncio.iscoroutinefunction(answer["orders"]):
        return (
            "The endpoint runs in a worker thread now, but FastAPI decides for each dependency by itself: "
            f"`get_user` is an `async def`, so it stays on the loop, and {where} holds it."
        )
    if not asyncio.iscoroutinefunction(answer["get_account"]):
        return (
            "`get_account` runs in a worker thread now, but what it depends on does not follow it there: "
            f"`get_user` is still on the loop, and {where} holds it."
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
