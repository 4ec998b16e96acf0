"""How the exercise "Try again, within a budget" is judged."""

import ast
import asyncio
import os

from fastapi import FastAPI

from app_snippets.lifespan.checks.faulty import PATIENCE, SLOW, Faulty
from workbench.around import Call, ask, burst
from workbench.clock import until
from workbench.judge import Answer, Held, Probe, calls, error_of, exercise, failure_in_words, ms, nodes, said
from workbench.server import LiveServer, serve

BUDGET, ATTEMPT, ATTEMPTS, PAUSE = 0.9, 0.3, 5, 0.1  # as the cell has them, in seconds
IN_BUDGET = 3  # a third attempt may begin after 0.8 s, a fourth after 1.2 s
TOO_LATE = BUDGET + PAUSE / 2
HANG = 1.6  # seconds after which nobody waits any longer
CALLS = [  # in the order in which they are made: first those that take their time
    *("GET /silent", "POST /silent", "GET /drops", "GET /silent-once", "GET /down", "GET /twice"),
    *("POST /broken", "POST /down", "GET /slow"),
    *("GET /missing", "GET /gone", "POST /fine", "GET /fine"),
]


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
                made = await _calls(server, faulty)
            _require_free_loop(held)
            _require_fine(faulty, made)
            _require_no_post_again(faulty, made)
            _require_no_again(faulty, made)
            _require_capped(faulty, made["GET /down"])
            _require_recovery(faulty, made["GET /twice"], "a 500 and a 503, then a good answer")
            _require_pauses(answer, faulty, "GET /twice", "GET /down")
            _require_end(answer, faulty, made["GET /silent"], made["POST /silent"])
            _require_end_of_drops(made["GET /drops"])
            _require_recovery(faulty, made["GET /silent-once"], "silence once, then a good answer")
            await _require_all_over(faulty)
            _require_length_of_attempts(faulty, made["GET /slow"])
            down = made["GET /down"]
            if down.status == 504:  # the budget ran out in a pause, perhaps because of all the others
                faulty.asked["GET /down"].clear()
                down = await _call(server, "GET", "/down")
            _require_last_answer(faulty, down, made["POST /down"], made["POST /broken"])
            silent = await _require_in_time(server, faulty, made)
            await _require_own_budget(server)
            broken = await _call(server, "GET", "/broken-twice")  # alone: what a new connection takes is no pause then
            _require_recovery(faulty, broken, "two answers that break off, then a good one")
            _require_pauses(answer, faulty, "GET /broken-twice")
    return (
        f"Down: {faulty.attempts('GET /down')} attempts. Silent: 504 after {silent.latency:.2f} s. POST and 404: one "
        "each."
    )


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


def _require_pauses(answer: Answer, faulty: Faulty, *keys: str) -> None:
    for key in keys:
        if faulty.shortest_pause(key) < 0.9 * PAUSE:
            raise Probe(f"`{key}`", f"a pause of {ms(PAUSE)} between two attempts, at least").saw(
                f"the next attempt {ms(faulty.shortest_pause(key))} after an answer",
                "A service that is down is asked again at once, or nearly"
                + (", when the attempt ended with an exception" if key == "GET /broken-twice" else "")
                + ". Many callers that do so keep it down. "
                + (
                    "There is a sleep in your code: it is shorter than PAUSE, it is not awaited, or it is not on this "
                    "way from one attempt to the next."
                    if calls(answer.source, "sleep")
                    else "Await a pause before the next attempt."
                ),
            )


def _require_fine(faulty: Faulty, made: dict[str, Call]) -> None:
    for key in ("GET /fine", "POST /fine"):
        call, count = made[key], faulty.attempts(key)
        if call.status == 200 and call.body == b"attempt 1" and count == 1:
            continue
        words = failure_in_words(call)
        if "NoneType" in words["diagnosis"]:
            words["diagnosis"] = "`ask` came to its end without a `return`: a good answer must be returned."
        elif call.status == 504 and not count:
            words["diagnosis"] = "A 504, and the service was never asked: its budget was over. It begins in `ask`."
        elif call.status == 504:
            words["diagnosis"] = "The service answered at once, and `ask` raised nevertheless: return a good answer."
        elif call.status == 200:
            words = {
                "seen": f"{_attempts(count)}, {said(call)}",
                "diagnosis": "A good answer is the last: return it at once.",
            }
        raise Probe(f"`{key}`, where all is well", "one attempt, and its answer with status 200").saw(**words)
    firsts = ("GET /fine", "POST /fine", "GET /missing", "GET /down", "GET /slow")
    if (waited := min(faulty.asked[key][0] - made[key].start for key in firsts)) > 0.9 * PAUSE:
        raise Probe("`GET /fine`, where all is well", "a first attempt at once").saw(
            f"the first attempt {ms(waited)} after the call",
            "There is a pause before the first attempt, too, and every good call pays for it. A pause comes between "
            "two attempts.",
        )


def _require_no_post_again(faulty: Faulty, made: dict[str, Call]) -> None:
    what = {"/down": "answers with 503", "/broken": "breaks off its answer", "/silent": "gives no answer"}
    for path in what:
        if (count := faulty.attempts(f"POST {path}")) > 1:
            raise Probe(f"`POST {path}`, to a service that takes the order and {what[path]}", "one attempt").saw(
                f"{count} attempts",
                "A POST was sent again. The service may have done what it was asked before the answer was lost, and "
                "then the order is placed twice. Only what may be done twice is tried again: a GET.",
            )
        if count == 0:
            raise Probe(f"`POST {path}`", "one attempt").saw(
                f"none, {said(made[f'POST {path}'])}", "POST is not sent at all."
            )


def _require_no_again(faulty: Faulty, made: dict[str, Call]) -> None:
    for key, status in (("GET /missing", 404), ("GET /gone", 499)):
        tried = f"`{key}`, which the service answers with {status}"
        if (count := faulty.attempts(key)) > 1:
            raise Probe(tried, f"one attempt, and the {status} passed on").saw(
                f"{_attempts(count)}, {said(made[key])}",
                f"A {status} is an answer: the service is up, and will say the same next time. Try again after 5xx and "
                "after no answer, and pass on what is below 500.",
            )
        if made[key].status != status:
            raise Probe(tried, f"the {status} passed on").saw(
                said(made[key]),
                "`ask` returns the service's answer whatever its status. raise_for_status() raises HTTPStatusError, "
                "which is no TransportError, and nobody here catches it."
                if type(error_of(made[key])).__name__ == "HTTPStatusError"
                else "`ask` returns the service's answer whatever its status.",
            )


def _require_capped(faulty: Faulty, down: Call) -> None:
    count = faulty.attempts("GET /down")
    if count > ATTEMPTS:
        raise Probe("`GET /down`: every attempt is answered with 503", f"{ATTEMPTS} attempts at most").saw(
            f"{count} attempts",
            "One more than ATTEMPTS, which counts all of them, the first included."
            if count == ATTEMPTS + 1
            else "Nothing caps the attempts. A service that is down gets more requests than one that is well, and does "
            "not come up again.",
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
    seen = f"{said(call)} after {_attempts(count)}"
    if type(error_of(call)).__name__ == "HTTPStatusError":
        why = "The last answer was turned into an exception that the relay does not know. Return the answer itself."
    elif count == 1 and call.path == "/silent-once" and call.latency > 2 * ATTEMPT:
        why = (
            "A service that gives no answer once is not asked a second time: the first attempt used up all of the "
            "time. Each attempt needs a timeout of its own, shorter than the budget."
        )
    elif count == 1 and call.path == "/silent-once":
        why = (
            "A service that gives no answer once is not asked a second time: the attempt ended in time, and its error "
            "left the loop. Catch it inside, around the attempt. asyncio.timeout raises TimeoutError, httpx a "
            "TransportError."
        )
    elif count == 1 and call.path == "/broken-twice":
        why = (
            "An attempt whose connection breaks is not tried again, and one that is silent is. What httpx raises then "
            "is neither a TimeoutError nor a TimeoutException: RemoteProtocolError, as all that goes wrong on the way, "
            "is a TransportError."
        )
    elif call.status in (500, 503) and faulty.attempts("GET /down") > 1 and count < 3 and call.path == "/twice":
        why = f"A {call.status} was passed on, though others are tried again: whatever is 500 or above is, 500 too."
        if count == 2:
            why = "It was tried again, and given up before the service was well. There is time for more attempts."
    elif count == 1 and call.status in (500, 503):
        why = "A 503 is not tried again. A response with status 503 is no exception: look at its status_code."
    elif call.status in (None, 504):
        why = "The pauses between the attempts used up the budget: make them shorter."
    else:
        why = "It was tried again, and given up before the service was well. There is time for more attempts."
    raise probe.saw(seen, why)


def _attempts(count: int) -> str:
    return f"{count} attempt{'s' if count != 1 else ''}"


def _require_end(answer: Answer, faulty: Faulty, silent: Call, posted: Call) -> None:
    """Silence comes to an end, and what comes of it is a 504."""
    count = faulty.attempts("GET /silent")
    probe = Probe("`GET /silent`: no attempt is ever answered", f"status 504 after {BUDGET} s")
    seen = f"{said(silent)} after {silent.latency:.1f} s and {_attempts(count)}"
    if count == 1 and silent.status in (None, 200):
        raise probe.saw(
            seen,
            "An attempt waits for ever: the client has `timeout=None`, and nothing else ends it. Each attempt needs a "
            "timeout.",
        )
    if count > IN_BUDGET and silent.status == 504 and silent.latency <= TOO_LATE:
        raise probe.saw(
            f"{_attempts(count)}, the first given up after {ms(faulty.lengths('GET /silent')[0])}",
            f"An attempt has less time than ATTEMPT: an answer that takes nearly {ms(ATTEMPT)} never comes through.",
        )
    if count > IN_BUDGET:
        raise probe.saw(seen, _why_no_budget(answer))
    if silent.status != 504:
        why = "Without an answer from the service, `ask` raises TimeoutError or httpx.TransportError: the relay makes "
        raise probe.saw(seen, f"{why}a 504 of it.")
    if posted.status != 504:
        raise Probe("`POST /silent`, which is never answered", f"status 504 within {BUDGET} s").saw(
            f"{said(posted)} after {posted.latency:.1f} s",
            "A GET ends in time, a POST does not: what is not tried again needs a timeout as well.",
        )


def _why_no_budget(answer: Answer) -> str:
    caught = {ast.unparse(one.type) if one.type else "" for one in nodes(answer.source, ast.ExceptHandler)}
    if any(name == "" or "BaseException" in name or "CancelledError" in name for name in caught):
        return (
            "The attempts go on when the budget is over. A timeout around the loop ends it by a cancellation, and your "
            "`except` catches that as well: catch TimeoutError and httpx.TransportError, no more."
        )
    inside = [one for loop in nodes(answer.source, ast.For, ast.While) for one in calls(loop, "timeout")]
    if any(ast.unparse(one).endswith("(BUDGET)") for one in inside):
        return "The budget begins again with each attempt: its timeout is inside the loop. Put it around the loop."
    return (
        f"Each attempt has a timeout, and all of them together have none: {ATTEMPTS} attempts of {ATTEMPT:g} s are "
        "far more than the budget. One asyncio.timeout goes around the whole loop."
    )


def _require_end_of_drops(drops: Call) -> None:
    if drops.status == 504:
        return
    probe = Probe(f"`GET /drops`: a drop of the body each 0.1 s, for {PATIENCE:g} s", f"status 504 after {BUDGET} s")
    seen = f"{said(drops)} after {drops.latency:.1f} s"
    if drops.status in (None, 200):
        raise probe.saw(
            seen,
            "httpx's timeout is for each read, and each drop comes in time. Only a clock around the whole call, "
            "asyncio.timeout, sees that the answer as a whole does not.",
        )
    raise probe.saw(seen, "An answer that never becomes complete is none: a 504.")


def _require_length_of_attempts(faulty: Faulty, slow: Call) -> None:
    """An attempt gets its time, and no more."""
    if slow.status != 200:
        count = faulty.attempts("GET /slow")
        raise Probe(f"`GET /slow`, which is answered after {SLOW:g} s", "status 200").saw(
            f"{said(slow)} after {_attempts(count)}",
            f"A good answer came too late for the attempt, which has {ATTEMPT:g} s. Give each attempt ATTEMPT.",
        )
    took = min(faulty.lengths(key)[0] for key in ("GET /silent", "GET /silent-once"))
    if took > 1.5 * ATTEMPT:
        raise Probe(
            "`GET /silent`: no attempt is ever answered", f"attempts that are given up after {ms(ATTEMPT)}"
        ).saw(
            f"a first attempt of {ms(took)}",
            "An attempt waits for longer than ATTEMPT, and the time is missing for the next ones.",
        )


async def _require_all_over(faulty: Faulty) -> None:
    """No attempt goes on when it is given up."""
    for key in ("GET /silent", "POST /silent"):
        await until(lambda key=key: len(faulty.over[key]) == len(faulty.asked[key]), PATIENCE)  # type: ignore[misc]
        if (longest := max(faulty.lengths(key))) > (BUDGET + PATIENCE) / 2:
            raise Probe(f"`{key}`, which is never answered", "attempts that end when they are given up").saw(
                f"an attempt that went on for {longest:.1f} s",
                "An attempt is given up, and goes on: asyncio.wait() and shield() leave the task running. The service "
                "works for nobody, and each such call keeps a connection. asyncio.timeout cancels what it waits for.",
            )


def _require_last_answer(faulty: Faulty, down: Call, posted: Call, broken: Call) -> None:
    """The last 503 is passed on; fewer than all attempts only where the budget leaves no time for another."""
    count = faulty.attempts("GET /down")
    probe = Probe("`GET /down`: every attempt is answered with 503", "the last 503, passed on")
    before, last = faulty.asked["GET /down"][-2:]  # there were three at least, as for /twice
    if count < ATTEMPTS and down.latency + 2 * (last - before) < BUDGET:
        raise Probe(probe.tried, f"{ATTEMPTS} attempts, as long as the budget lasts").saw(
            f"{_attempts(count)} in {down.latency:.1f} s",
            "It is given up early: there was time for another attempt. ATTEMPTS counts all of them, with the first.",
        )
    if down.status != 503 and not (down.status == 504 and down.latency > 0.9 * BUDGET):  # it ran out in a pause
        raise probe.saw(
            said(down), "When the attempts are used up, what the service said last is the answer: return it."
        )
    if down.status == 503 and down.text != f"down, {count}":
        raise Probe(probe.tried, f"the last 503, with its body `down, {count}`").saw(
            said(down),
            "The status is right, and the answer is not the service's last one. Return that response.",
        )
    if posted.status != 503 or posted.text != "down, 1":
        raise Probe("`POST /down`, which is answered with 503", "that 503, passed on with its body `down, 1`").saw(
            said(posted), "A POST is sent once, and its answer is passed on whatever its status."
        )
    if broken.status != 504:
        raise Probe("`POST /broken`, whose answer breaks off", "status 504").saw(
            said(broken), "Half an answer is none. Let the error of httpx out: the relay makes a 504 of it."
        )


async def _require_in_time(server: LiveServer, faulty: Faulty, made: dict[str, Call]) -> Call:
    """What took longer than the budget is asked again, alone, and must be in time then. Returns the silent call."""
    for key in ("GET /silent", "GET /drops", "POST /silent", "GET /down"):
        call = made[key]
        if call.latency > TOO_LATE:
            call = await _call(server, *key.split())
        if call.latency <= TOO_LATE:
            continue
        over = faulty.over[key]
        await until(lambda key=key: len(faulty.over[key]) == len(faulty.asked[key]), 0.5)  # type: ignore[misc]
        probe = Probe(f"`{key}`, alone", f"an answer after {BUDGET} s at the most")
        seen = f"{said(call)} after {call.latency:.2f} s"
        if key != "GET /drops" and over[-1] - call.start < TOO_LATE:
            raise probe.saw(
                f"{seen}, {ms(call.end - over[-1])} after the end of the last attempt",
                "The budget is for attempts and pauses alike, and it ran out in a pause. Put one asyncio.timeout "
                "around the whole loop.",
            )
        raise probe.saw(
            seen,
            "The budget is looked at between the attempts only: the last one gets all of its time, though less was "
            "left. Put one asyncio.timeout around the whole loop, or give each attempt what is left.",
        )
    return made["GET /silent"]


async def _require_own_budget(server: LiveServer) -> None:
    """A call that begins when the budgets of others are over has one of its own."""
    later = await _call(server, "GET", "/fine")
    if later.status != 200:
        raise Probe("`GET /fine` once more, after all of the others", "status 200").saw(
            said(later),
            "The first calls were answered, and a later one is not. Each call has a budget and attempts of its own, "
            "which begin in `ask`: nothing of them is kept for the next call.",
        )
