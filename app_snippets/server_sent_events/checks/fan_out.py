"""E2: each listener hears all, and one that does not read harms nobody."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from unittest.mock import patch

import httpx

from app_snippets.server_sent_events.checks.common import Heard, count, heard, require_stream
from app_snippets.server_sent_events.checks.fourth import MOST, PATIENCE, SLOW, Fourth, data_of
from app_snippets.server_sent_events.sse_client import Event
from workbench import clock
from workbench.around import Call, look_up
from workbench.clock import until
from workbench.judge import Answer, NotYet, Probe, error_of, exercise, failure_in_words
from workbench.server import LiveServer

PATH, COUNT = "/events", "/listeners"
FAST = 3  # listeners that read all the time
BEHIND = 10  # texts that may wait for a listener, as given

TOGETHER = "three listeners, and five texts, one after the other"
THEN = "the fourth, which was let go, begins to read"
LEAVING = "all listeners leave"


@exercise(
    "One stream, many listeners",
    asks_for="app",
    hints=[
        "What is taken from a queue is gone. How many queues do three listeners need?",
        "A queue for each listener, made and added in listen(), taken out in its finally. publish() looks at each: one "
        "that is full belongs to somebody who does not read, and must not be waited for.",
        "publish: for queue in list(self.listeners): if queue.full(): self.listeners.discard(queue), else: "
        "queue.put_nowait(text). listen: while queue in self.listeners or not queue.empty(): yield; then the event "
        '"lagging", with data.',
    ],
    deadline=20,
)
async def fan_out(answer: Answer) -> str:
    """All hear all; one that does not read is let go and told so; who leaves is forgotten."""
    async with answer.served() as server, server.client(timeout=3 * PATIENCE) as client:
        trial = _Listeners(server, client)
        async with trial.listening():
            await trial.together()
            await trial.slow()
        await trial.gone()
    return f"Three listeners heard all. The one that did not read was let go when {BEHIND} waited, and told so."


@dataclass
class _Listeners:
    server: LiveServer
    client: httpx.AsyncClient
    fast: list[Heard] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)  # the texts that are no greetings

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Three listeners, each of which has heard a first greeting."""
        self.fast = [Heard(Call(number, PATH, clock.now())) for number in range(FAST)]
        tasks = [asyncio.create_task(heard(self.server.url, PATH, timeout=60, into=one)) for one in self.fast]
        try:
            await self.greeted()
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def greeted(self) -> None:
        tried = "three listeners, and a text now and then"
        deadline = clock.now() + 2 * PATIENCE  # three clients are made, too
        while not all(one.events for one in self.fast):
            for one in self.fast:
                if one.call.status is not None:
                    require_stream(one, tried)
            if clock.now() > deadline:
                hearing = sum(bool(one.events) for one in self.fast)
                raise Probe(tried, "each of them hears something").saw(
                    f"{hearing or 'none'} of three did",
                    "What is published does not come to all who listen. publish() hands each text to the queue of each "
                    "listener, and listen() yields what is in its own.",
                )
            await self.publish("hello", tried)
            await asyncio.sleep(0.02)

    async def publish(self, text: str, tried: str) -> None:
        """Publish a text, while the clock of the server's loop stands still: no timeout ends a wait in publish()."""
        call, loop = Call(0, f"POST {PATH}", clock.now()), self.server.loop
        assert loop is not None
        posting, stands_at = asyncio.create_task(self.client.post(PATH, json=text)), loop.time()
        with patch.object(loop, "time", lambda: stands_at):
            at_once = await until(posting.done, PATIENCE)
        if not at_once:
            for_a_time = await until(posting.done, PATIENCE)
            posting.cancel()
            raise Probe(tried, "a text that is published at once").saw(
                "publish() waited until a timeout was over" if for_a_time else "publish() did not come back",
                "publish() waits for a place in the queue of one who does not read, and so all others wait with it: "
                "one slow listener stalls everybody"
                + (", if only until the timeout" if for_a_time else "")
                + ". Look whether the queue is full, and do not wait.",
            )
        response = posting.result()
        call.status, call.body = response.status_code, response.content
        if call.status == 202:
            return
        await look_up(call, self.server, lambda one: one.method == "POST")
        words = failure_in_words(call)
        name = type(error_of(call)).__name__
        if name == "QueueFull":
            words["diagnosis"] = (
                "The queue of one who does not read is full, and QueueFull left publish(): the listeners after it did "
                "not get the text. Let that one go, and go on with the others."
            )
        elif name == "RuntimeError" and "changed size" in words["seen"]:
            words["diagnosis"] = (
                "A listener was taken out of the set while publish() walked through it. Walk through a copy, "
                "`list(self.listeners)`."
            )
        raise Probe(tried, "status 202").saw(**words)

    async def to_all(self, text: str, tried: str) -> None:
        """Publish a text, and wait until all who read have it."""
        self.sent.append(text)
        await self.publish(text, tried)
        if await until(lambda: all(_last_is(one, text) for one in self.fast), PATIENCE):
            return
        hearing = sum(_last_is(one, text) for one in self.fast)
        lagging = [one for one in self.fast if "lagging" in one.kinds]
        if lagging:
            why = (
                "A listener that reads all the time was let go. One is behind when BEHIND texts wait for it, and the "
                "others are not."
            )
        elif any(one.ended or one.broken for one in self.fast):
            why = "A stream has ended although its listener is still there and reads."
        elif hearing == 1 and tried == TOGETHER:
            why = (
                "Each text went to one listener, and the others did not hear it: they take turns at one queue, and "
                "what one has taken is gone. Each needs a queue of its own."
            )
        else:
            why = "Not all who listen get each text. One that does not read must not keep the others from theirs."
        raise Probe(tried, "each text with each listener").saw(f"{hearing or 'none'} of three", why)

    async def together(self) -> None:
        for number in range(1, 6):
            await self.to_all(f'say "{number}"\n\nevent: admin', TOGETHER)
        for one in self.fast:
            if [text for text in _texts(one) if text != "hello"] != self.sent:
                raise Probe(TOGETHER, "each text once, in order").saw(
                    f"{len(_texts(one))} texts, in another order or more than once",
                    "A listener gets a text more than once, or in another order than it was published in.",
                )
        if await self.listeners() != FAST:
            raise Probe(TOGETHER, "three in `listeners`").saw(
                str(await self.listeners()),
                "`listeners` of the Hub holds those who listen now, one entry each. /listeners counts them.",
            )

    async def listeners(self) -> int:
        response = await self.client.get(COUNT)
        if response.status_code != 200:
            raise Probe(f"GET {COUNT}", "status 200 and a number").saw(
                f"status {response.status_code}", "/listeners counts the Hub's `listeners`. Keep both as they were."
            )
        return int(response.json())

    async def slow(self) -> None:
        """One that takes a first text and then none, until it is let go or MOST have come."""
        fourth = Fourth(self.server)
        first = fourth.take()
        try:
            if not await until(lambda: self._are(FAST + 1), PATIENCE):
                fourth.require_sound(first)
                raise Probe(SLOW, "a fourth in `listeners`").saw(
                    str(await self.listeners()),
                    "A fourth listener came, and is not in `listeners`: put it there when listen() begins.",
                )
            await self.to_all("0", SLOW)
            await until(first.done, PATIENCE)
            fourth.require_sound(first)
            for number in range(1, MOST + 1):
                await self.to_all(str(number), SLOW)
                if let_go := await self.listeners() == FAST:
                    break
            await fourth.take_all("" if let_go else self.sent[-1])
        finally:
            first.cancel()
            await fourth.leave()
        if not let_go:
            raise _never_let_go(fourth)
        if number != BEHIND + 1:
            raise Probe(SLOW, f"let go at text {BEHIND + 1}, when BEHIND texts, {BEHIND}, wait for it").saw(
                f"let go at text {number}",
                "A listener is let go too soon: BEHIND texts may wait for it, and the next one is too much."
                if number <= BEHIND
                else "A listener is let go too late: at most BEHIND texts may wait for it, `asyncio.Queue(BEHIND)`.",
            )
        _require_told(fourth)

    async def _are(self, number: int) -> bool:
        return await self.listeners() == number

    async def gone(self) -> None:
        if await until(lambda: self._are(0), 1.5):
            return
        await self.publish("is anybody there?", LEAVING)  # some look who is there when they publish
        left = await self.listeners()
        raise Probe(LEAVING, "nobody in `listeners`").saw(
            f"{left} of them",
            "Who leaves stays in `listeners`, with a queue that fills. When a client leaves, its stream is cancelled "
            "where it waits: what must happen then stands in a `finally`.",
        )


def _texts(found: Heard) -> list[str]:
    return [_text(one) for one in found.events]


def _last_is(found: Heard, text: str) -> bool:
    return bool(found.events) and _text(found.events[-1]) == text


def _text(event: Event) -> str:
    """What an event says: its data, read as JSON where it is a string in JSON."""
    with contextlib.suppress(ValueError):
        if isinstance(value := json.loads(event.data), str):
            return value
    return event.data


def _never_let_go(fourth: Fourth) -> NotYet:
    if fourth.gap or len(fourth.texts) < MOST:
        why = (
            "Texts were dropped for the one who does not read, and nobody told it: it takes what it has for all "
            'there was. Let it go, and send the event "lagging" last.'
        )
    else:
        why = (
            "Everything is kept for the one who does not read, in the memory of the server, for as long as it "
            "likes. Give its queue a bound, `asyncio.Queue(BEHIND)`, and let it go when that is reached."
        )
    return Probe(SLOW, "let go when more than BEHIND texts wait for it").saw(
        f"still a listener after {MOST} texts", why
    )


def _require_told(fourth: Fourth) -> None:
    """It got all that waited, then `lagging`, then the end. Raises NotYet."""
    kinds, texts = fourth.kinds, fourth.texts
    got = f"{count(len(texts), 'text')}, then "
    if fourth.gap:
        seen = "some texts, others missing or in another order"
        why = "What it gets must be all that was published until it was let go: nothing is dropped for it before."
    elif len(texts) < BEHIND and (fourth.ended or "lagging" in kinds):
        seen = f"{count(len(texts), 'text')} of the {BEHIND} that waited"
        why = (
            "The texts that waited for it were thrown away: the loop in listen() is left when it is no listener any "
            "more, and its queue may hold texts then. Empty the queue first."
        )
    elif "lagging" not in kinds and fourth.ended:
        seen = got + "the end of the stream"
        why = (
            "It was let go without a word: its stream ends, or breaks, as if that were all. Send the event "
            '"lagging" last, so that it knows that it has missed something.'
        )
    elif "lagging" not in kinds:
        seen = got + "nothing, and a stream that stays open"
        why = (
            "It was taken out of `listeners`, and its stream waits at an empty queue: it believes that nothing "
            "happens. When the queue is empty and it is no listener any more, say so, and end."
        )
    elif data_of(fourth.events[kinds.index("lagging")]) is None:
        seen = "`event: lagging`, and no data"
        why = "The event `lagging` has no line `data:`, and a client passes over an event without any."
    elif kinds[-1] != "lagging" or kinds.count("lagging") > 1:
        seen = f"{count(len(kinds) - kinds.index('lagging') - 1, 'event')} after `lagging`"
        why = "Something is sent after `lagging`. Send first what waited, then `lagging` once, and end the stream."
    elif not fourth.ended:
        seen = got + "`lagging`, and a stream that stays open"
        why = "The stream goes on after `lagging`. It is no listener any more, and nothing can come: end it there."
    else:
        return
    raise Probe(THEN, "the texts that waited for it, then the event `lagging`, and the end").saw(seen, why)
