"""E3: a bound on those at work, a bound on those in line, and a deadline for the line."""

import ast
import asyncio
import os
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from statistics import median

from workbench import clock
from workbench.around import Burst, Call, Reply, Upstream, burst, heartbeat, upstream
from workbench.clock import until
from workbench.judge import Answer, NotYet, Probe, calls, error_of, exercise, failure_in_words, functions, nodes, said
from workbench.server import LiveServer
from workbench.server.record import Request

PATH = "/quote"
AT_WORK, IN_LINE, PATIENCE = 4, 4, 0.4
ROOM = AT_WORK + IN_LINE
CROWD = 24
QUOTE = {"price": 7}
SHORT = 0.1  # seconds that the service takes for the crowd, and longer where it takes the crowd longer to come
STUCK = 1.75 * PATIENCE  # seconds that it takes when nobody in line is refused before
TIMEOUT = 4.0  # seconds after which a call counts as hanging
CROWDED = f"{CROWD} calls in the same moment, with a heartbeat on /ping"
SLOW = f"{ROOM} calls in the same moment, while the service does not answer"
AGAIN = f"{ROOM} more, when the line was sent away and {AT_WORK} are still at work"


@exercise(
    "Shed the load",
    asks_for="app",
    hints=[
        "There are three kinds of callers: at work, in line, and too many. What tells the third kind from the second, "
        "before anybody waits?",
        "Count those inside, at work or in line, before the first await: whoever finds it full is refused at once. "
        "asyncio.timeout() bounds the wait for a turn. What must be given back, and on which ways out?",
        "if gate.inside >= AT_WORK + IN_LINE: raise a 503. Then gate.inside += 1, and in a try/finally that takes it "
        "back: async with asyncio.timeout(PATIENCE): await gate.turns.acquire(), and a second try/finally around the "
        "yield that releases the turn.",
    ],
    deadline=20,
)
async def shed(answer: Answer) -> str:
    """A crowd, a slow service, a service that fails, and after each of them everything works again."""
    with upstream({PATH: Reply(SHORT, QUOTE)}) as services:
        os.environ["SERVICES_URL"] = services.url
        async with answer.served() as server:
            trials = _Trials(answer, server, services)
            await trials.one()
            refused = await trials.crowd()
            await trials.slow()
            await trials.failing()
            await trials.recovers("the service has failed eight times")
    return f"{CROWD - refused} were served, {refused} sent away at once, and every place was given back."


class _Trials:
    def __init__(self, answer: Answer, server: LiveServer, services: Upstream) -> None:
        self.answer, self.server, self.services = answer, server, services
        self.known = 0  # requests that came in the trials before

    def asked(self) -> list[Request]:
        """The requests for a quote in this trial, as the answer's server saw them."""
        return [one for one in list(self.server.record.requests)[self.known :] if one.path == PATH]

    def all_there(self, number: int) -> Callable[[], bool]:
        return lambda: len(self.asked()) >= number

    async def call(self, number: int, reply: Reply) -> Burst:
        """So many calls at once, while the service answers like that. Nobody is inside when it begins."""
        await until(lambda: all(one.done is not None for one in list(self.server.record.requests)), 1)
        self.known = len(self.server.record.requests)
        self.services.replies[PATH] = reply
        self.services.forget()
        result = await burst(self.server, PATH, number, timeout=TIMEOUT)
        await self.services.settled()
        return result

    async def one(self) -> None:
        (made,) = (await self.call(1, Reply(0.01, QUOTE))).calls
        if made.status != 200 or made.parsed != QUOTE:
            raise Probe("one call", f"`{QUOTE}`, the service's own answer").saw(
                **failure_in_words(made)
                if made.status != 200
                else {"seen": said(made), "diagnosis": "`/quote` must still answer with what the service says."}
            )

    async def crowd(self) -> int:
        """All of them come, and then a ping, before anybody is served. Returns how many were refused."""
        pinged = asyncio.Event()
        all_there = self.all_there(CROWD)
        calling = asyncio.create_task(
            self.call(CROWD, Reply(SHORT, QUOTE, ready=lambda: all_there() and pinged.is_set()))
        )
        await until(lambda: calling.done() or all_there(), TIMEOUT)
        async with heartbeat(self.server, timeout=TIMEOUT) as beat:
            pinged.set()
            result = await calling
        self.require_peak(CROWDED)
        if any("503" in failure for failure in beat.failures):
            raise Probe(CROWDED, "every ping answered").saw(
                "pings with status 503",
                "The limit is for the whole app, the health check included: whoever asks whether this server is alive "
                "is told that it is not. uvicorn's limit_concurrency does the same. Only `/quote` needs it.",
            )
        if beat.failures:
            raise Probe(CROWDED, "every ping answered").saw(
                beat.failures[0], "The loop was held: `/ping` had no answer while the crowd was dealt with."
            )
        served, refused = self.sorted(result, CROWDED)
        if not refused:
            raise Probe(CROWDED, f"{ROOM} served, and the rest refused with 503 at once").saw(
                f"all {len(served)} were let in, the last one served after {result.wall:.1f} s",
                "Nobody is refused: the line has no end, and everybody in it waits for all who came before. A bound on "
                "those at work is not a bound on those who wait.",
            )
        late = [one for one in refused if _waited(one)]
        inside = _most_at_once([*served, *late])
        if inside > ROOM and len(late) == len(refused):
            raise Probe(CROWDED, "a refusal at once").saw(
                f"{len(late)} refused, after {median(_took(one) for one in late):.1f} s in the middle",
                "A refusal came after a wait: everybody is let into the line, and sent away when their time is up. Who "
                "finds the line full gains nothing by waiting: refuse before the first await.",
            )
        probe = Probe(CROWDED, f"{ROOM} inside: {AT_WORK} at work, and then the {IN_LINE} in line")
        seen = f"{inside} inside at once"
        if inside > ROOM:
            raise probe.saw(
                seen,
                f"More were let in than have room: {AT_WORK} work, and {IN_LINE} wait. "
                + (
                    f"It is one too many: with {ROOM} inside there is no room, so compare with `>=`, or count first."
                    if inside == ROOM + 1
                    else "Are both counted, before the first await?"
                ),
            )
        if inside < ROOM:
            raise probe.saw(
                seen,
                "There is no line: who finds everybody at work is refused, although a turn would have come in time. A "
                "bound on its own is no queue. Let some wait, for a moment."
                if inside == AT_WORK
                else f"Too few were let in. {AT_WORK} work and {IN_LINE} wait: that makes {ROOM}.",
            )
        self.require_turns(served, late, CROWDED)
        return len(refused)

    async def slow(self) -> None:
        """The line is sent away, and as many come again; then the service answers. Or it does after STUCK seconds."""
        begun = clock.now()
        came_again = self.all_there(2 * ROOM)
        calling = asyncio.create_task(
            self.call(ROOM, Reply(0, QUOTE, ready=lambda: came_again() or (not sent_away() and _since(begun) > STUCK)))
        )

        def sent_away() -> bool:
            return sum(one.status == 503 and one.done is not None for one in self.asked()[:ROOM]) >= IN_LINE

        await until(lambda: calling.done() or (len(self.asked()) >= ROOM and sent_away()), TIMEOUT)
        again = None if calling.done() else await burst(self.server, PATH, ROOM, timeout=TIMEOUT)
        result = await calling
        self.require_peak(AGAIN if again else SLOW, AT_WORK)
        served, refused = self.sorted(result, SLOW)
        if not refused:
            raise Probe(SLOW, f"{AT_WORK} served, and the {IN_LINE} in line refused after {PATIENCE} s").saw(
                f"all {len(served)} served, the last one after {result.wall:.1f} s",
                "The line is short, and the wait in it has no end, or a later one: a slow service makes everybody in "
                "it wait as long as it likes. asyncio.timeout() bounds the wait for a turn, by PATIENCE.",
            )
        self.require_turns(served, [one for one in refused if _waited(one)], SLOW)
        first = min(_done(one) for one in served) if served else result.end
        if not any(_done(one) < first for one in refused):
            raise Probe(SLOW, f"the {IN_LINE} in line refused after {PATIENCE} s").saw(
                f"they were refused after {min(one.latency for one in refused):.1f} s",
                "The line is sent away, and too late: it waited until the slow ones were done.",
            )
        if again:
            self.require_room(again, AGAIN, IN_LINE)

    async def failing(self) -> None:
        for _ in range(2):
            result = await self.call(AT_WORK, Reply(0.01, QUOTE, 500))
            for one in result.calls:
                if one.status == 503 and len(self.services.asked) == AT_WORK:
                    raise Probe(f"{AT_WORK} calls, while the service fails", "status 502 for each").saw(
                        said(one),
                        "The service was asked and has failed, and its caller is told that the server is busy. Only "
                        "the wait for a turn becomes a 503: what comes through the `yield` is another failure.",
                    )
                if one.status in (None, 503):
                    raise self.not_given_back(one, "the service fails")
                if one.status != 502:
                    raise Probe(f"{AT_WORK} calls, while the service fails", "status 502 for each").saw(
                        **failure_in_words(one)
                    )

    async def recovers(self, after: str) -> None:
        """There is room for all, and nobody is served before all have come."""
        result = await self.call(ROOM + IN_LINE, Reply(SHORT, QUOTE, ready=self.all_there(ROOM + IN_LINE)))
        tried = f"{ROOM + IN_LINE} calls, when {after}"
        self.require_peak(tried, AT_WORK)
        self.require_room(result, tried, ROOM)

    def require_room(self, result: Burst, tried: str, room: int) -> None:
        """So many are let in, to be served or to wait in vain, and the rest is refused at once."""
        served, refused = self.sorted(result, tried)
        let_in = len(result.calls) - sum(not _waited(one) for one in refused)
        if let_in < room:
            raise self.not_given_back(next(one for one in refused if not _waited(one)), tried)
        if let_in > room:
            raise Probe(tried, f"{room} let in, and the rest refused at once").saw(
                f"{let_in} let in",
                "At first the bound held, and now more are let in than have room: the count of those inside has gone "
                "too low. Each caller takes back one, once, and only what it has added itself.",
            )
        self.require_turns(served, [one for one in refused if _waited(one)], tried)

    # which mistake it is

    def not_given_back(self, one: Call, after: str) -> NotYet:
        self.server.grace = 0.1  # what hangs is not waited for
        failed = "fail" in after
        return Probe(
            after if "calls" in after or "more" in after else f"calls, while {after}", "a place for each that has room"
        ).saw(
            said(one),
            "A failure keeps its place for ever. An error leaves a dependency at its `yield`, as an exception, and the "
            "lines after it are passed over: give back in a `finally`. As it is, a few failures close the door for "
            "good."
            if failed
            else "Somebody who was sent away from the line kept a place: a count that goes up before the wait must "
            "come down on every way out, the deadline's included.",
        )

    def require_turns(self, served: list[Call], late: list[Call], tried: str) -> None:
        """Those who were refused after a wait had waited for their turn in vain."""
        if hasty := [one for one in late if _took(one) < 0.9 * PATIENCE]:
            raise Probe(tried, f"{PATIENCE} s in line").saw(
                f"status 503 after {_took(hasty[0]):.1f} s",
                "Those in line are sent away too soon, although a turn would have come in time. PATIENCE seconds are "
                "what they wait.",
            )
        if early := [one for one in late if not _in_vain(one, served)]:
            raise Probe(tried, "a turn for those in line, as soon as somebody at work is done").saw(
                f"status 503 after {_took(early[0]):.1f} s in line, and fewer than {AT_WORK} were at work",
                "A turn that is taken must be given back, whatever came of the work: those in line wait for it. And "
                "PATIENCE is for the wait in line, and not for the work.",
            )

    def require_peak(self, tried: str, before: int = 0) -> None:
        """At most AT_WORK at the service at once. before: how many there were when it was not yet out of order."""
        if self.services.abandoned:
            raise Probe(tried, f"the {AT_WORK} at work served, however long it takes").saw(
                f"{len(self.services.abandoned)} calls of the service given up half-way",
                "Who was at work already was sent away, too: PATIENCE is for the wait in line, and not for the work. "
                "Where does the block of the timeout end?",
            )
        if self.services.peak <= AT_WORK:
            return
        made_inside = any(
            (calls(one, "Semaphore") or calls(one, "Gate")) and one.name not in ("lifespan", "__init__")
            for one in functions(self.answer.source)
        )
        probe = Probe(tried, f"at most {AT_WORK} calls at the service at once")
        if before:
            raise probe.saw(
                f"{self.services.peak}",
                "At first the bound held. Somebody gave back a turn that it never had, and a semaphore grows by that: "
                "release only where the acquire has come to its end, in a `try` of its own below it.",
            )
        turn = next((one for one in functions(self.answer.source) if one.name == "turn"), None)
        yields = [one.lineno for one in nodes(turn, ast.Yield)] if turn else []
        given_back = [one.lineno for one in calls(turn, "release")] if turn else []
        if turn and (not yields or (given_back and max(given_back) < min(yields))):
            raise probe.saw(
                f"{self.services.peak}",
                "`turn` is over before the endpoint begins: what a dependency returns is a value, and no answer, and "
                "what it gives back before its `yield` is free while the endpoint works. Refuse by raising an "
                "HTTPException, and hold the turn around the `yield`.",
            )
        raise probe.saw(
            f"{self.services.peak}",
            "Each request makes a gate of its own, and finds it empty. What keeps requests apart must be made once, "
            "and shared."
            if made_inside
            else f"The service can take {AT_WORK} calls at once, and had more. Those in line are inside, but not at "
            "work: two bounds are needed, one for each.",
        )

    def sorted(self, result: Burst, tried: str) -> tuple[list[Call], list[Call]]:
        """Those that were served, and those that were refused, as they should be. Raises NotYet for all others."""
        expected = "status 200, or 503 with a Retry-After"
        hung = [one for one in result.calls if one.status is None]
        if hung:
            self.server.grace = 0.1
            raise Probe(tried, "an answer to each").saw(
                f"{len(hung)} of {len(result.calls)} had none within {TIMEOUT} s",
                "Callers are let in without a bound, and wait for all who came before: the line has no end, and the "
                "wait in it neither. A few wait, for a moment, and the rest is refused at once."
                if len(hung) < len(result.calls)
                else "Nobody had an answer: something is taken and never given back.",
            )
        for one in result.calls:
            if one.status not in (200, 503):
                words = failure_in_words(one)
                if one.status == 504:
                    words["diagnosis"] = (
                        "504 is for a service that is late. Who waits in vain for a turn has a 503, too."
                    )
                elif one.status == 429:
                    words["diagnosis"] = (
                        "429 says that this caller has asked too often. Here nobody has: the server is busy, and that "
                        "is 503."
                    )
                elif isinstance(error_of(one), TimeoutError):
                    words["diagnosis"] = (
                        "The deadline ends the wait with a TimeoutError, and nobody catches it: the caller sees a 500. "
                        "Make a 503 of it."
                    )
                raise Probe(tried, expected).saw(**words)
        refused = [one for one in result.calls if one.status == 503]
        for one in refused:
            after = one.headers.get("retry-after", "")
            if not after.strip().isdecimal() and not _is_date(after):
                raise Probe(tried, expected).saw(
                    f"a 503 with `Retry-After: {after}`" if after else "a 503 without the header",
                    "Retry-After is a number of seconds, or a date. Clients pass over anything else."
                    if after
                    else "The refusal does not say when to come again, and clients that are told nothing try "
                    'again at once. Give the HTTPException headers={"Retry-After": "1"}, in every place that '
                    "refuses.",
                )
        return [one for one in result.calls if one.status == 200], refused


def _is_date(text: str) -> bool:
    """Whether it is an HTTP date, as Retry-After may be."""
    try:
        parsedate_to_datetime(text)
    except ValueError:
        return False
    return True


def _since(moment: float) -> float:
    return clock.now() - moment


def _done(one: Call) -> float:
    """When the server was done with a call."""
    return one.request.done if one.request is not None and one.request.done is not None else one.end


def _came(one: Call) -> float:
    """When the server had a call."""
    return one.request.arrived if one.request is not None else one.start


def _took(one: Call) -> float:
    """Seconds that the server had a call in hand."""
    return _done(one) - _came(one)


def _waited(one: Call) -> bool:
    """Whether a refused call had been in line. To be refused at once takes a step or two of the loop."""
    return _took(one) > PATIENCE / 2


def _in_vain(one: Call, served: list[Call]) -> bool:
    """Whether a call waited in line, and all turns were taken to the end of its PATIENCE, or nearly.

    A slow machine may take so long for the work of others.
    """
    moment = _came(one) + 0.75 * PATIENCE
    return _waited(one) and sum(_came(other) < moment < _done(other) for other in served) >= AT_WORK


def _most_at_once(some: list[Call]) -> int:
    """The most of these calls that the server had in hand at once."""
    edges = [(_came(one), 1) for one in some] + [(_done(one), -1) for one in some]
    inside = most = 0
    for _, step in sorted(edges):
        inside += step
        most = max(most, inside)
    return most
