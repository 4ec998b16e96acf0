"""E2: each listener hears all, and one that does not read harms nobody."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from app_snippets.server_sent_events.checks.common import Heard, Noted, count, heard, require_stream
from app_snippets.server_sent_events.sse_client import Event, events
from workbench import clock
from workbench.around import Call, look_up
from workbench.clock import until
from workbench.judge import Answer, NotYet, Probe, error_of, exercise, failure_in_words
from workbench.server import LiveServer

PATH, COUNT = "/events", "/listeners"
FAST = 3  # listeners that read all the time
LARGE = "x" * 64_000  # characters of a text, so that few of them fill the buffers on the way
MOST = 50  # large texts, after which a listener that does not read must have been let go; a right answer needs 22
PATIENCE = 1.5  # seconds for what comes without a wait, or never

TOGETHER = "three listeners, and five texts, one after the other"
SLOW = "three listeners that read, a fourth that does not, and large texts"
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
    async with answer.served() as server, server.client(timeout=PATIENCE) as client:
        trial = _Listeners(server, client)
        async with trial.listening():
            await trial.together()
            behind = await trial.slow()
        await trial.gone()
    return f"Three listeners heard all. The one that did not read was let go {behind} texts later, and told so."


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
        call = Call(0, f"POST {PATH}", clock.now())
        try:
            response = await self.client.post(PATH, json=text)
        except httpx.TimeoutException:
            raise Probe(tried, "a text that is published at once").saw(
                f"publish() did not come back within {PATIENCE:g} s",
                "publish() waits for a place in the queue of one who does not read, and so all others wait with it: "
                "one slow listener stalls everybody. Look whether the queue is full, and do not wait.",
            ) from None
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

    async def slow(self) -> int:
        """One that does not read; returns after how many large texts it was let go."""
        reads = asyncio.Event()
        found = Heard(Call(FAST, PATH, clock.now()))
        task = asyncio.create_task(_read_later(self.server, found, reads))
        try:
            if not await until(lambda: self._are(FAST + 1), PATIENCE):
                raise Probe(SLOW, "a fourth in `listeners`").saw(
                    str(await self.listeners()),
                    "A fourth listener came, and is not in `listeners`: put it there when listen() begins.",
                )
            await until(lambda: found.call.status, PATIENCE)  # from here on it does not read
            for number in range(1, MOST + 1):
                await self.to_all(f"{number} {LARGE}", SLOW)
                if await self.listeners() == FAST:
                    break
            else:
                raise await self.never_let_go(found, reads)
            reads.set()

            def over() -> bool:
                return found.ended or found.broken or "lagging" in found.kinds

            await until(over, PATIENCE, lambda: len(found.events))
            self.require_told(found)
            return number
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _are(self, number: int) -> bool:
        return await self.listeners() == number

    async def never_let_go(self, found: Heard, reads: asyncio.Event) -> NotYet:
        reads.set()
        before = -1
        while len(found.events) > before and not _last_is(found, self.sent[-1]):
            before = len(found.events)
            await until(lambda so_far=before: len(found.events) > so_far, 1.0)
        if _gap(found) or not _last_is(found, self.sent[-1]):
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

    def require_told(self, found: Heard) -> None:
        if "lagging" in found.kinds and not _gap(found):
            return
        if _gap(found):
            seen, why = (
                "some texts, others missing between them",
                (
                    "What the listener gets must be all that was published until it was let go: nothing is dropped for "
                    "it before."
                ),
            )
        elif "event: lagging" in found.raw:
            seen, why = (
                "`event: lagging`, and no data",
                ("The event `lagging` has no line `data:`, and a client passes over an event without any."),
            )
        elif found.ended or found.broken:
            seen, why = (
                "the end of the stream",
                (
                    "It was let go without a word: its stream ends, or breaks, as if that were all. Send the event "
                    '"lagging" last, so that it knows that it has missed something.'
                ),
            )
        else:
            seen, why = (
                f"{count(len(found.events), 'text')}, and then a stream that stays open",
                (
                    "It was taken out of `listeners`, and its stream waits at an empty queue: it believes that nothing "
                    "happens. When the queue is empty and it is no listener any more, say so, and end."
                ),
            )
        raise Probe(
            "the fourth, which was let go, begins to read", "what waited for it, then the event `lagging`, and the end"
        ).saw(seen, why)

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


def _gap(found: Heard) -> bool:
    """Whether texts are missing between two that came."""
    heads = [text.partition(" ")[0] for text in _texts(found)]
    numbers = [int(head) for head in heads if head.isdecimal()]
    return bool(numbers) and numbers != list(range(1, len(numbers) + 1))


async def _read_later(server: LiveServer, found: Heard, reads: asyncio.Event) -> None:
    """Open a stream, and begin to read when told to."""
    try:
        async with (
            httpx.AsyncClient(base_url=server.url, trust_env=False, verify=False, timeout=60) as client,
            client.stream("GET", PATH) as response,
        ):
            found.call.status, found.call.headers = response.status_code, dict(response.headers)
            _narrow(server, response.extensions["network_stream"].get_extra_info("client_addr"))
            await reads.wait()
            async for event in events(Noted(response, found)):  # type: ignore[arg-type]
                found.events.append(event)
            found.ended = True
    except httpx.HTTPError:
        found.broken = True


def _narrow(server: LiveServer, client: Any) -> None:
    """Let the system buffer little for a client at the server's side, so that few texts fill it."""
    for connection in list(server._uvicorn.server_state.connections) if server._uvicorn else ():
        if (transport := connection.transport) and transport.get_extra_info("peername") == client:
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
