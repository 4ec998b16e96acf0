"""E1: a job's progress, numbered, that goes on after a cut and says how it ended."""

import asyncio
import random
from dataclasses import dataclass, field

from app_snippets.server_sent_events.checks.common import Heard, count, heard, require_stream
from app_snippets.server_sent_events.checks.job import (
    HOSTILE,
    LAST,
    WHOLE,
    After,
    Schedule,
    Second,
    number_of,
    require_one_each,
    steps_of,
    what_raised,
)
from workbench import clock
from workbench.around import Call, Heartbeat, heartbeat
from workbench.judge import Answer, Held, NotYet, Probe, exercise, quoted, require_pings, where_it_is
from workbench.server import LiveServer

PATH = "/events"
EACH, LONG = 0.02, 0.5  # seconds of a step, and of the last one of a whole run, in which a stream must look at it
LOOKS = 5_000  # in the long step; that is ten in a millisecond, more than any sleep allows
CUT = "a job of 12 steps, and a client that is cut off 4 times and comes back with its last id"
FAILED = "a job that fails after its third step"
STRANGE = {"rubbish": "rubbish", "-1": "a negative number", "\xb2": "a superscript two"}  # no ids, and what they are
SHARED = (
    "Two streams at once disturb each other: what one has sent, the other one leaves out. The position belongs to one "
    "stream: keep it in a local variable of the endpoint, and not in a global or an attribute of the app."
)
NEVER_WAITS = (
    "Its loop never waits, so nobody else gets a turn, the sending of its own events included. Between two looks at "
    "the job, `await asyncio.sleep(…)`."
)


@exercise(
    "Progress that goes on",
    asks_for="app",
    hints=[
        "What must be in an event so that a client can say how far it came? And what tells it that nothing more will "
        "come, so that it need not come back?",
        "ServerSentEvent(id=…, data=…) writes any text safely. A Header parameter last_event_id has what the client "
        "saw last: the steps after it are those to send. What is no number of yours counts as none.",
        "seen = int(last_event_id) if last_event_id.isdecimal() else 0; send job.steps()[seen:], numbered from "
        'seen + 1; poll with asyncio.sleep; then one event, "end" or "failed", with data.',
    ],
)
async def progress(answer: Answer) -> str:
    """A whole run with hostile texts, cuts, a failure, and ids that are none."""
    await answer.load()
    schedule = Schedule()
    given = answer["Job"]
    if not isinstance(given, type):
        raise Probe("to give your app a job", "the class `Job`, as given").saw(
            "no class `Job`",
            "`Job` stands for what is not yours to change. Leave it as it was, and ask it how far it is.",
        )
    given.state = lambda job: schedule.state()
    given.steps = lambda job: schedule.steps()
    async with answer.served() as server:
        trials = _Trials(answer, server, schedule)
        await trials.whole()
        await trials.cut_off()
        await trials.failed()
        await trials.strange_ids()
    return "Cut off 4 times, and each step came once and in order; then the end was said."


@dataclass
class _Trials:
    answer: Answer
    server: LiveServer
    schedule: Schedule
    second: Heard = field(default_factory=lambda: Heard(Call(1, PATH, clock.now())))

    async def whole(self) -> None:
        """A run from beginning to end, and a loop that is free meanwhile."""
        found = Heard(Call(0, PATH, clock.now()))
        self.schedule.set(HOSTILE, each=EACH, last=LONG, hears=lambda: len(found.events))
        with self.answer.watched(self.server) as held, self.schedule.looks.beside(self.server):
            async with heartbeat(self.server, timeout=1.5) as beat:
                await heard(self.server, PATH, until=Second(), into=found)
        if found.silent:
            raise self.hangs(found, WHOLE)
        require_stream(found, WHOLE)
        self.require_texts(found)
        self.require_ids(found)
        self.require_end(found)
        self.require_free(beat, held)
        self.require_soon()
        require_pings(beat, WHOLE)

    def pings(self, beat: Heartbeat) -> int:
        """Pings that were made and answered while the long step was done."""
        begins, done = self.schedule.long_step
        return sum(begins < begun and begun + took < done for begun, took in beat.pings)

    def require_free(self, beat: Heartbeat, held: list[Held]) -> None:
        """Others had their turns in the long step, and nothing ran in circles."""
        looks, pings = self.schedule.looks, self.pings(beat)
        share = sum(one.seconds for one in held) / LONG
        tried = f"{WHOLE}, the last of which takes {LONG} s, with a heartbeat on /ping"
        if looks.stuck and looks.computes:
            raise Probe(tried, "pings that are answered while the stream waits for the next step").saw(
                f"{count(pings, 'ping')} in {LONG} s", NEVER_WAITS
            )
        if (looks.restless and looks.computes) or looks.number > LOOKS:
            raise Probe(tried, "some looks at the job").saw(
                f"{looks.number:,} looks in {LONG} s",
                "The stream gives others a turn, and does not wait: it asks the job again at once, and keeps a "
                "processor busy for nothing. A sleep of 0.05 s between two looks costs nobody anything.",
            )
        if looks.stuck or looks.restless or share > 1 / 2 or not pings:
            where = f", at {max(held, key=lambda one: one.seconds)}" if held else ""
            raise Probe(tried, "pings that are answered while the stream waits for the next step").saw(
                f"{count(pings, 'ping')} in {LONG} s",
                f"While the stream waits for the next step, it holds the loop{where}: the server answers nobody else. "
                "Wait with `await asyncio.sleep(…)`.",
            )

    def require_soon(self) -> None:
        """Most steps had arrived when the last, long one was done."""
        late = len(HOSTILE) - 1 - self.schedule.heard
        if late > len(HOSTILE) / 2:
            raise Probe(f"{WHOLE}, the last of which takes {LONG} s", "each step soon after it is done").saw(
                f"{late} of {len(HOSTILE)} steps came when the job was over",
                "The client hears of the steps when the job is over: between two looks at it, the stream waits for too "
                "long. This is for somebody who watches; look a few times a second.",
            )

    def hangs(self, found: Heard, tried: str) -> NotYet:
        where = found.where or where_it_is()
        if found.events and found.kinds[-1] in LAST:
            return Probe(tried, "a stream that ends after its last event").saw(
                "the last event, and a connection that stays open",
                f"The job is over, and the stream goes on: {where}. Leave the loop when the job is over.",
            )
        if where.startswith("it is still running"):
            why = NEVER_WAITS
        else:
            why = "The job is over by then. Look at its state, and end the stream."
        return Probe(tried, "an event for each step, and one for the end").saw(
            f"{count(len(found.events), 'event')}, and then nothing for 2.5 s",
            f"The stream does not go on: {where}. {why}",
        )

    def require_texts(self, found: Heard) -> None:
        steps = steps_of(found)
        if any(one.kind == "admin" for one in found.events):
            raise Probe(WHOLE, "an event for each step, and no other").saw(
                "an event `admin`, which nobody has sent",
                "A newline in a step's text began a line of its own, and the client read it as one of yours. What "
                "others wrote must be framed: ServerSentEvent(data=…) does that, an f-string does not.",
            )
        if found.raised or found.broken:
            error = found.raised[0] if found.raised else None
            raise Probe(WHOLE, "a stream that ends in good order").saw(**what_raised(found, error))
        if not steps:
            raise Probe(WHOLE, f"{len(HOSTILE)} steps").saw(
                f"{found.raw[:60]!r}", "No step arrived. An event has a line `data:`, and an empty line ends it."
            )
        numbers = [number_of(one, HOSTILE) for one in steps]
        if None in numbers:
            wrong = steps[numbers.index(None)]
            require_one_each(steps)
            raise Probe(WHOLE, "what each step has said, as the data of its event").saw(
                f"data {quoted(wrong.data, 60)}",
                "That is not what the step has said: its text was cut or changed, perhaps at a newline. "
                "ServerSentEvent(data=…) carries any text as it is.",
            )
        if numbers != list(range(1, len(HOSTILE) + 1)):
            missing = len(HOSTILE) - len(set(numbers))
            raise Probe(WHOLE, "each step once, in order").saw(
                f"the steps {', '.join(map(str, numbers))}",
                "The last step is missing: it came between a look at the steps and a look at the state. Ask for the "
                "state first, and for the steps after it."
                if missing and numbers == list(range(1, len(numbers) + 1))
                else "Some steps come twice, or not at all: note which was sent last, and go on after it.",
            )

    def require_ids(self, found: Heard) -> None:
        ids = [one.id for one in steps_of(found)]
        if not any(ids):
            raise Probe(WHOLE, "an id in each step, its number from 1").saw(
                "no ids",
                "No event has an id. A client that is cut off then cannot say where it was, and must begin again.",
            )
        if ids != [str(number) for number in range(1, len(ids) + 1)]:
            raise Probe(WHOLE, "the ids 1, 2, 3 and so on").saw(
                f"the ids {', '.join(ids)}",
                "The id of a step is its number, from 1: then the id that comes back says how many steps the client "
                "has.",
            )

    def require_end(self, found: Heard, kind: str = "end", tried: str = WHOLE) -> None:
        kinds = [one for one in found.kinds if one in LAST]
        if kinds == [kind]:
            return
        if len(kinds) > 1:
            seen, why = f"{', '.join(kinds)}", "The end is said once: then the stream is over."
        elif kinds:
            seen = f"the event `{kinds[0]}`"
            why = f"The job has {'failed' if kind == 'failed' else 'done its work'}, and the client hears the contrary."
        elif f"event: {kind}" in found.raw:
            seen = f"`event: {kind}`, and no data"
            why = (
                f"The event `{kind}` has no line `data:`, and a client passes over an event without data, as the "
                'standard says. Give it some, `data="…"`.'
            )
        elif kind == "failed":
            seen = "the steps, and then the end of the stream"
            why = 'The job failed, and nobody says so. Look at its state, and send an event "failed".'
        else:
            seen = "the last step, and then the end of the stream"
            why = (
                "Nothing says that this was all. A stream that ends looks like one that was cut off, and a browser "
                'comes back again and again. Send an event "end" last.'
            )
        raise Probe(tried, f"the event `{kind}`, last").saw(seen, why)

    async def cut_off(self) -> None:
        """One client is cut off again and again, and a second one is not."""
        texts = [f"step {number}" for number in range(1, 13)]
        self.schedule.set(texts, each=0.02)
        beside = asyncio.create_task(heard(self.server, PATH, until=Second(), into=self.second))
        try:
            await self.cuts(texts)
            await beside
        except NotYet as error:
            await asyncio.wait({beside}, timeout=1)  # who was disturbed has noticed by then
            raise error if self.in_order(texts) else error.because(SHARED) from None
        finally:
            beside.cancel()
            await asyncio.gather(beside, return_exceptions=True)
        numbers = [number_of(one, texts) for one in steps_of(self.second)]
        if numbers != list(range(1, len(texts) + 1)) or self.second.kinds[-1:] != ["end"]:
            raise Probe(CUT, "at a second client all the steps, and the end").saw(
                f"{count(len(numbers), 'step')}, {'in order' if self.in_order(texts) else 'not 1, 2, 3 and so on'}",
                SHARED,
            )

    def in_order(self, texts: list[str]) -> bool:
        """Whether the second client has missed no step so far."""
        numbers = [number_of(one, texts) for one in steps_of(self.second)]
        return numbers == list(range(1, len(numbers) + 1))

    async def cuts(self, texts: list[str]) -> None:
        """Each connection is left after some events; the next one says which was the last."""
        chance = random.Random(9)
        last_id, seen = "", 0
        for cut in range(5):
            found = await heard(self.server, PATH, last_id=last_id, until=After(chance.randint(1, 3), cut == 4))
            if found.silent:
                raise self.hangs(found, CUT)
            if found.broken or found.call.status != 200:
                raise Probe(CUT, "the steps that are left").saw(**what_raised(found, next(iter(found.raised), None)))
            steps = steps_of(found)
            numbers = [number_of(one, texts) for one in steps]
            expected = list(range(seen + 1, seen + 1 + len(numbers)))
            if numbers != expected:
                raise self.resumed_wrongly(numbers, seen, texts)
            if [one.id for one in steps] != [str(number) for number in expected]:
                raise Probe(CUT, f"the id {expected[0]} for step {expected[0]}").saw(
                    f"the id {steps[0].id}",
                    "After the cut, the ids begin again from the start: they count the events of one connection. At "
                    "the next cut they lead to the wrong place. The id is the number of the step.",
                )
            seen += len(numbers)
            last_id = found.events[-1].id if found.events else last_id
            if found.kinds[-1:] == ["end"] and seen < len(texts):
                raise self.resumed_wrongly([], seen, texts)
        if seen < len(texts) or found.kinds[-1:] != ["end"]:
            raise self.resumed_wrongly([], seen, texts)

    def resumed_wrongly(self, numbers: list[int | None], seen: int, texts: list[str]) -> NotYet:
        first = numbers[0] if numbers else None
        if first == 1:
            why = (
                "The client said what it saw last, in the header Last-Event-ID, and the stream began from the start: "
                "the header is not read."
            )
        elif first == seen:
            why = "One too few: the step whose id came back was sent again. The client has it. Go on with the next one."
        elif first == seen + 2:
            why = (
                "One too many: the step after the last one seen was passed over. Ids are counted from 1, and a list "
                "from 0: `steps()[seen:]` begins with step seen + 1."
            )
        else:
            why = "The stream does not go on where the client was: each step must come once, and in order."
        return Probe(CUT, f"after the id {seen}, step {seen + 1}").saw(
            "no step any more" if first is None else f"step {first}", why
        )

    async def failed(self) -> None:
        """The last steps arrive, and then the event that says that the job has failed."""
        texts = ["one", "two", "three"]
        self.schedule.set(texts, each=0.02, over="failed")
        found = await heard(self.server, PATH, until=Second())
        if found.silent:
            raise self.hangs(found, FAILED)
        lost = len(texts) - len(steps_of(found))
        if found.raised or found.broken:
            raise Probe(FAILED, "three steps, then the event `failed`").saw(
                f"{count(len(steps_of(found)), 'step')}, and a connection that broke",
                "The failure was raised. That breaks the connection"
                + (", and what was yielded before it is lost with it" if lost else "")
                + ': the client knows nothing, and comes back for more of it. Yield an event "failed" instead.',
            )
        self.require_end(found, "failed", FAILED)
        if lost:
            raise Probe(FAILED, "three steps, then the event `failed`").saw(
                f"{count(len(steps_of(found)), 'step')}, then `failed`",
                "Steps that were done before the failure are missing. Send what is there, and then say that the job "
                "has failed.",
            )

    async def strange_ids(self) -> None:
        """On a job that is done: ids that are none, and one beyond the end."""
        texts = ["one", "two", "three"]
        self.schedule.set(texts)
        tried = "a job that is done, and a Last-Event-ID that is "
        *rubbish, beyond = await asyncio.gather(
            *(heard(self.server, PATH, last_id=last_id, until=Second()) for last_id in [*STRANGE, "99"])
        )
        for what, found in zip(STRANGE.values(), rubbish, strict=True):
            shown = f"{tried}{what}"
            if found.silent:
                raise self.hangs(found, shown)
            self.require_taken(found, shown)
            if [number_of(one, texts) for one in steps_of(found)] != [1, 2, 3]:
                raise Probe(shown, "all three steps: it counts as none").saw(
                    count(len(steps_of(found)), "step"),
                    "Anybody can send any header. What is no number of a step says nothing about how far the client "
                    "is: begin from the start. Mind that a negative number counts from a list's end.",
                )
        self.require_taken(beyond, f"{tried}99")
        if beyond.silent:
            raise self.hangs(beyond, f"{tried}99")
        if steps_of(beyond):
            raise Probe(f"{tried}99", "no step, and the end").saw(
                count(len(steps_of(beyond)), "step"),
                "The client has seen more than there is, so nothing is left to send but the end.",
            )
        self.require_end(beyond, "end", f"{tried}99")

    def require_taken(self, found: Heard, tried: str) -> None:
        if found.call.status not in (200, None):
            raise Probe(tried, "status 200 and a stream").saw(
                f"status {found.call.status}",
                "A header that cannot be read as a number is refused, and a browser's EventSource gives up for good at "
                "any status but 200. Take the header as text, and what is no number for none.",
            )
        if found.raised or found.broken:
            error = next(iter(found.raised), None)
            words = what_raised(found, error)
            if isinstance(error, ValueError | IndexError | KeyError):
                words["diagnosis"] = (
                    f"{type(error).__name__}: {error}. The header comes from outside and may hold anything. Look "
                    "whether it is a number, `isdecimal()`, before it is used as one."
                )
            raise Probe(tried, "a stream").saw(**words)
