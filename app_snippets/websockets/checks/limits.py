"""E2: a client that is idle, one that talks too much, one that sends too long a message, and pings for all."""

import asyncio
import contextlib

from app_snippets.websockets.checks.common import Peer, last_error, peer
from workbench import clock
from workbench.clock import until
from workbench.judge import Answer, Probe, exercise, quoted
from workbench.server import LiveServer

PATH = "/shout"
SILENCE, EVERY = 0.6, 0.2  # seconds: IDLE and EVERY of the cell
TALK = "a client that says five things, 0.25 s apart"
IDLE = "a client that says nothing"
FLOOD = "a client that sends 60 messages at once"
CROWD = "four clients that send 12 messages each at once"
AGAIN = "a client that sends 12 messages at once, and 12 more after 1.2 s"


@exercise(
    "Deadlines and limits",
    asks_for="app",
    hints=[
        "Four things can happen, and only one of them is a message. Which of them must go on while the handler waits "
        "for the next message?",
        "A deadline around receive_text() alone; pings from a task of their own; a deque of the times of the last MOST "
        "messages, made for each client; and len(text.encode()) bytes.",
        "async with asyncio.timeout(IDLE): text = await websocket.receive_text(). When recent[0] of a full deque is "
        "less than a second old, there are too many. Close with 1008, 1009 for what is too long.",
    ],
)
async def limits(answer: Answer) -> str:
    """Four at once; side by side talking, idle, and coming back; a flood; and 20 kB."""
    async with answer.served() as server:
        async with peer(server, PATH) as first:
            await first.say("warm")
            await until(lambda: "WARM" in first.texts, 1)
        await _crowd(server)  # what explains another failure comes first, and what sends much is alone
        outcomes = await asyncio.gather(_talking(server), _idle(server), _again(server), return_exceptions=True)
        for outcome in filter(None, outcomes):
            raise outcome
        await _flood(server)
        await _long(server)
    return "Idle and flood closed with 1008, 20 kB with 1009, and nobody else noticed."


def _shouted(one: Peer) -> list[str]:
    return [str(text) for text in one.texts if text != "ping"]


def _closed(one: Peer) -> str:
    return "still open" if one.closed is None else f"closed with {one.closed} {one.reason!r}"


async def _talking(server: LiveServer) -> None:
    async with peer(server, PATH) as one:
        said, begun = 0, clock.now()
        for number in range(5):
            said += one.closed is None
            await one.say(f"word {number}")
            await asyncio.sleep(0.25)
        await until(lambda: len(_shouted(one)) >= 5 or one.closed is not None, 0.3)
        heard, pings = _shouted(one), one.texts.count("ping")
        due = (clock.now() - begun) / EVERY
    expected = [f"WORD {number}" for number in range(5)]
    probe = Probe(TALK, f"`{expected}`, with pings between, and no close")
    if len(heard) < said - 1 or (heard != expected and one.closed is None):
        raise probe.saw(
            f"`{heard}`",
            "A message was lost. A receive that was begun, and not awaited to its end, is still there: it takes the "
            "next message, and nobody asks it for that. Keep the task and wait for it again, or let another task ping."
            if pings and len(heard) < 5
            else "The answers are not what was said, in upper case, one for each message. "
            + (last_error(server) or "Is somebody still waiting for the next message?"),
        )
    if one.closed is not None:
        raise probe.saw(
            f"`{heard}`, then {_closed(one)}",
            "A client that talks all the while is closed as idle. The deadline is for each message, and not for the "
            "whole connection: it begins again with every one."
            if one.closed in (1008, 1000)
            else f"A client that keeps all limits is closed with {one.closed}. {last_error(server)}".strip(),
        )
    if not 2 <= pings <= 2 * due:
        raise probe.saw(f"{pings} pings, where {due:.0f} are due", _wrong_pings(pings))


def _wrong_pings(pings: int) -> str:
    if pings:
        how = "rarely" if pings < 2 else "often"
        return f"The pings come too {how}: one every EVERY seconds, whatever the client does."
    return (
        "No ping goes out. They cannot come from the task that waits for a message, once it waits. A task of their own "
        "sends one every EVERY seconds, and ends with the connection."
    )


async def _idle(server: LiveServer) -> None:
    async with peer(server, PATH) as one:
        await until(lambda: one.closed is not None, 1.6)
        pings = one.texts.count("ping")
    probe = Probe(IDLE, "pings, and a close with 1008 after 0.6 s")
    if one.closed is None:
        raise probe.saw(
            f"{pings} pings, and it is still open after 1.6 s",
            "Who says nothing stays for ever. "
            + (
                "A ping that goes out is no sign of life from the client: only a message begins the time again."
                if pings > 3
                else "A deadline around the wait for the next message ends it."
            ),
        )
    if one.closed != 1008:
        raise probe.saw(
            _closed(one),
            f"The idle client is sent away, and it sees {one.closed}. "
            + (
                f"{last_error(server)} A TimeoutError that nobody catches ends the connection without a word. "
                if one.closed == 1006
                else ""
            )
            + "Catch it, and close with 1008.",
        )
    if not pings:
        raise probe.saw("a close, and no ping before it", _wrong_pings(0) + " It was silent for 0.6 s.")


async def _flood(server: LiveServer) -> None:
    async with peer(server, PATH) as one:
        await one.say(*(f"word {number}" for number in range(60)))
        await until(lambda: one.closed is not None or len(_shouted(one)) >= 60, 0.8, lambda: len(_shouted(one)))
        heard = len(_shouted(one))
        taken = [message.at for message in server.record.conversation(one.port) if message.kind == "receive"]
        closed = [message.at for message in server.record.conversation(one.port) if message.kind == "close"]
    probe = Probe(FLOOD, "20 answers or so, and a close with 1008")
    idle = bool(taken and closed and closed[0] - taken[-1] > SILENCE / 2)  # closed for its silence, and not at once
    if one.closed == 1008 and not idle and heard <= 30:
        return
    if heard > 30:
        why = (
            "Nobody counts: one client can keep the server busy for all. More than MOST messages in a second are a "
            "flood."
        )
    elif one.closed is None or idle:
        why = "What is too much goes unanswered, and the client is still connected: it goes on sending. Close it."
    else:
        why = f"The flood is stopped, and the client sees {one.closed} {one.reason!r}. A limit that was broken is 1008."
    raise probe.saw(f"{heard} answers, {_closed(one)}", why)


async def _crowd(server: LiveServer) -> None:
    async with contextlib.AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(peer(server, PATH)) for _ in range(4)]
        await asyncio.gather(*(one.say(*["word"] * 12) for one in peers))
        await until(
            lambda: all(len(_shouted(one)) >= 12 or one.closed is not None for one in peers),
            0.5,
            lambda: sum(len(_shouted(one)) for one in peers),
        )
        heard = [len(_shouted(one)) for one in peers]
        closed = sum(one.closed is not None for one in peers)
    if closed or min(heard) < 12:
        raise Probe(CROWD, "every message answered, nobody closed").saw(
            f"{heard} answers, {closed} closed",
            "Each client keeps the limit, and together they break it: what is counted is shared by all. One flood "
            "would close everybody. Count for each client, in its own handler.",
        )


async def _again(server: LiveServer) -> None:
    async with peer(server, PATH) as one:
        await one.say(*["word"] * 12)
        await until(lambda: len(_shouted(one)) >= 12 or one.closed is not None, 0.5, lambda: len(_shouted(one)))
        for _ in range(4):  # what was answered before is more than a second old then
            await asyncio.sleep(SILENCE / 2)
            await one.say("still here")
        await one.say(*["word"] * 12)
        await until(lambda: len(_shouted(one)) >= 28 or one.closed is not None, 0.5, lambda: len(_shouted(one)))
        heard = len(_shouted(one))
    if heard < 28:
        raise Probe(AGAIN, "every message answered, and no close").saw(
            f"{heard} of 28 answers, {_closed(one)}",
            "The count is never taken back: after MOST messages in all, the client is out, however slowly they came. "
            "What counts are those of the last second.",
        )


async def _long(server: LiveServer) -> None:
    for text, what in (("x" * 20_000, "20,000 letters"), ("é" * 10_000, "10,000 times é, which is 20 kB")):
        async with peer(server, PATH) as one:
            await one.say("x" * 15_000, text)
            await until(lambda one=one: one.closed is not None or len(_shouted(one)) >= 2, 1.0)
            heard = [len(text) for text in _shouted(one)]
        probe = Probe(f"a message of 15 kB, and one of {what}", "an answer to the first, and a close with 1009")
        if heard[:1] != [15_000]:
            raise probe.saw(
                f"{_closed(one)}, no answer", "A message of 15 kB keeps the limit, and it was not answered."
            )
        if len(heard) > 1 or one.closed is None:
            why = (
                "The limit is for bytes, and what was counted are characters: an é takes two of them. Count "
                "len(text.encode())."
                if text[0] == "é"
                else "Any length is let in, up to uvicorn's own limit of 16 MB. Compare with LONGEST, and close."
            )
            raise probe.saw(f"{quoted(heard)} characters back, {_closed(one)}", why)
        if one.closed != 1009:
            raise probe.saw(
                _closed(one),
                f"What is too long is refused, and the client sees {one.closed}. The code for that is 1009.",
            )
