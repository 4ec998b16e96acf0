"""E2: a client that is idle, one that talks too much, one that sends too long a message, and pings for all."""

import asyncio
import contextlib
from typing import Any

from app_snippets.websockets.checks.common import Peer, last_error, peer, require_ended, require_no_errors
from workbench import clock
from workbench.clock import until
from workbench.judge import Answer, Probe, exercise, quoted, where_it_is
from workbench.server import LiveServer

PATH = "/shout"
SILENCE, MOST, LONGEST, EVERY = 0.6, 20, 16_000, 0.2  # IDLE, MOST, LONGEST and EVERY of the cell
WORDS, PAUSE = 8, 0.15  # of the client that talks: never silent for EVERY, and longer than IDLE in all
TALK = f"a client that says {WORDS} things, {PAUSE} s apart"
FLOOD = "a client that sends 60 messages at once"
CROWD = "four clients that send 12 messages each at once"
AGAIN = "a client that sends 12 messages at once, 4 in the next 1.2 s, then 16 more"
EDGE = "a client that sends 12 messages at once, and 12 more after 0.7 s"
LEAVING = "a client that has heard a ping, and leaves"
SHARED = "One flood would close everybody. Count for each client, in its own handler."
LOST = (
    "A message was lost. A receive that was begun, and not awaited to its end, is still there: it takes the next "
    "message, and nobody asks it for that. Keep the task and wait for it again, or let another task ping."
)
NO_PING = (
    "No ping goes out. They cannot come from the task that waits for a message, once it waits. A task of their own "
    "sends the text `ping` every EVERY seconds, and ends with the connection."
)
RESTART = "The deadline is for each message, and not for the whole connection: it begins again with every one."


@exercise(
    "Deadlines and limits",
    asks_for="app",
    hints=[
        "Four things can happen, and only one of them is a message. Which of them must go on while the handler waits "
        "for the next message?",
        "A deadline around receive_text() alone; pings from a task of their own, which ends with the client; a deque "
        "of the times of the last MOST messages, made for each client; and len(text.encode()) bytes.",
        "async with asyncio.timeout(IDLE): text = await websocket.receive_text(). When recent[0] of a full deque is "
        "less than a second old, there are too many. Close with 1008, 1009 for what is too long.",
    ],
)
async def limits(answer: Answer) -> str:
    """Four at once; side by side talking, idle, and coming back; a flood; what is too long; and one that leaves."""
    async with answer.served() as server:
        before = asyncio.all_tasks(server.loop)
        async with peer(server, PATH) as first:
            await first.say("warm")
            await until(lambda: "WARM" in first.texts, 1)
        await _crowd(server)  # what explains another failure comes first, and what sends much is alone
        *outcomes, edge, other_edge = await asyncio.gather(
            _again(server),  # of what explains another failure, the cause comes first
            _idle(server, "a client that says nothing"),
            _idle(server, "a client that says one thing, and then nothing", "hello"),
            _talking(server),
            _edge(server, (0, 0.3, 0.95), (0.6, 1.3)),  # of a second that begins with the first message
            _edge(server, (0.55,), (0.2, 0.9)),  # of one that begins with any
            return_exceptions=True,
        )
        for outcome in filter(None, outcomes):
            raise outcome
        await _flood(server)
        for outcome in filter(None, (edge, other_edge)):
            raise outcome
        await _long(server)
        await _leaving(server, before)
        require_no_errors(server, LEAVING)
    return f"Idle and flood closed with 1008, more than {LONGEST:,} bytes with 1009, and nobody else noticed."


def _shouted(one: Peer) -> list[str]:
    return [str(text) for text in one.texts if text != "ping"]


def _closed(one: Peer) -> str:
    return "still open" if one.closed is None else f"closed with {one.closed} {one.reason!r}"


def _silent_for(server: LiveServer, one: Peer) -> float:
    """Seconds from the last message of a client, or its accept, until it was closed. 0 where it was not."""
    passed = server.record.conversation(one.port)
    closed = next((message.at for message in passed if message.kind == "close"), 0.0)
    return closed and closed - max(message.at for message in passed if message.kind in ("accept", "receive"))


async def _talking(server: LiveServer) -> None:
    expected = [f"WORD {number}" for number in range(WORDS)]
    async with peer(server, PATH) as one:
        said, begun = 0, clock.now()
        for number in range(WORDS):
            said += one.closed is None
            await one.say(f"word {number}")
            await asyncio.sleep(PAUSE)
        await until(lambda: len(_shouted(one)) >= WORDS or one.closed is not None, 0.3)
        heard, pings = _shouted(one), one.texts.count("ping")
        due = (clock.now() - begun) / EVERY
    probe = Probe(TALK, f"`{quoted(expected)}`, with pings between, and no close")
    if len(heard) < said - 1 or (heard != expected and one.closed is None):
        raise probe.saw(
            f"`{quoted(heard)}`",
            LOST
            if len(set(heard)) < WORDS and set(heard) <= set(expected)
            else "The answers are not what was said, in upper case, one for each message. " + last_error(server),
        )
    if one.closed is not None:
        raise probe.saw(
            f"`{quoted(heard)}`, then {_closed(one)}",
            f"A client that talks all the while is closed as idle. {RESTART}"
            if one.closed in (1008, 1000)
            else f"A client that keeps all limits is closed with {one.closed}. {last_error(server)}".strip(),
        )
    if not 0.6 * due <= pings <= 1.5 * due:
        raise probe.saw(f"{pings} pings, where {due:.0f} are due", _wrong_pings(server, pings, due))


def _wrong_pings(server: LiveServer, pings: int, due: float) -> str:
    if pings:
        how = "rarely" if pings < due else "often"
        return f"The pings come too {how}: one every EVERY seconds, whatever the client does."
    elsewhere = any(message.kind == "send" and message.size == len("ping") for message in list(server.record.messages))
    return (
        "Pings go out to a client that is silent, and none to one that talks: each message starts their time again. "
        "A task of their own sends one every EVERY seconds, whatever the client does."
        if elsewhere
        else NO_PING
    )


async def _idle(server: LiveServer, tried: str, *first: str) -> None:
    within = SILENCE + 2 * EVERY
    async with peer(server, PATH) as one:
        await one.say(*first)
        await until(lambda: one.closed is not None, within)
        pings, in_time = one.texts.count("ping"), one.closed is not None
        await until(lambda: one.closed is not None, within)
        silent, where = _silent_for(server, one), where_it_is()
    probe = Probe(tried, f"pings, and a close with 1008 after {SILENCE} s of silence")
    if one.closed is None:
        raise probe.saw(
            f"{pings} pings, and it is still open after {2 * within:.1f} s: {where}",
            "Whoever says nothing stays for ever. "
            + (
                "What never spoke is closed, and what spoke once is not: each wait for a message has the deadline."
                if first
                else "Its handler waits for something that does not come with the deadline, and never closes."
                if " at line " in where and "receiv" not in where
                else "A ping that goes out is no sign of life from the client, and nor is what others say: only a "
                "message of its own begins the time again."
                if pings > 3
                else "A deadline around the wait for the next message ends it."
            ),
        )
    if one.closed != 1008:
        raise probe.saw(
            _closed(one),
            f"The idle client is sent away, and it sees {one.closed}. "
            + (
                f"{last_error(server)} A handler that returns or raises without close() ends the connection without "
                "a word. "
                if one.closed == 1006
                else ""
            )
            + "Catch the TimeoutError, and close with 1008.",
        )
    if not in_time or silent < 0.75 * SILENCE:
        raise probe.saw(
            f"a close after {silent:.2f} s",
            f"The client is closed {'late' if silent > SILENCE else 'early'}: IDLE is how long it may be silent.",
        )
    if not pings:
        raise probe.saw("a close, and no ping before it", NO_PING + f" It was silent for {SILENCE} s.")


async def _flood(server: LiveServer) -> None:
    async with peer(server, PATH) as one:
        await one.say(*(f"word {number}" for number in range(60)))
        await until(lambda: one.closed is not None or len(_shouted(one)) >= 60, 0.8, lambda: len(_shouted(one)))
        heard = len(_shouted(one))
        idle = _silent_for(server, one) > SILENCE / 2  # closed for its silence, and not at once
    probe = Probe(FLOOD, f"{MOST} answers, and a close with 1008")
    if one.closed == 1008 and not idle and heard == MOST:
        return
    if heard >= 60:
        why = (
            "Nobody counts: one client can keep the server busy for all. More than MOST messages in a second are a "
            "flood."
        )
    elif one.closed is None or idle:
        why = "What is too much goes unanswered, and the client is still connected: it goes on sending. Close it."
    elif one.closed != 1008:
        why = (
            f"The flood is stopped, and the client sees {one.closed} {one.reason!r}. A limit that was broken is 1008. "
            + last_error(server)
        ).strip()
    else:
        why = (
            f"The flood is stopped, and the bound is another one: MOST messages in a second are answered, all {MOST} "
            "of them, and the next one is not."
        )
    raise probe.saw(f"{heard} answers, {_closed(one)}", why)


async def _crowd(server: LiveServer) -> None:
    async with contextlib.AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(peer(server, PATH)) for _ in range(4)]
        await asyncio.gather(*(one.say(*[f"client {number}"] * 12) for number, one in enumerate(peers)))
        await until(
            lambda: all(len(_shouted(one)) >= 12 or one.closed is not None for one in peers),
            0.5,
            lambda: sum(len(_shouted(one)) for one in peers),
        )
        where = where_it_is()
        heard = [len(_shouted(one)) for one in peers]
        own = [_shouted(one).count(f"CLIENT {number}") for number, one in enumerate(peers)]
        closed = sum(one.closed is not None for one in peers)
    probe = Probe(CROWD, "every message answered to the one who sent it, nobody closed")
    if closed or min(heard) < 12:
        raise probe.saw(
            f"{heard} answers, {closed} closed",
            f"Each client keeps the limit, and together they break it: what is counted is shared by all. {SHARED}"
            if any(one.closed == 1008 for one in peers)
            else f"Nobody breaks a limit, and not all messages are answered: {where}.",
        )
    if own != heard:
        raise probe.saw(
            f"{own} answers of their own", "An answer is not what its client said, in upper case. What is it made of?"
        )


async def _again(server: LiveServer) -> None:
    async with peer(server, PATH) as one:
        await one.say(*["hello"] * 12)
        await until(lambda: len(_shouted(one)) >= 12 or one.closed is not None, 0.5, lambda: len(_shouted(one)))
        for _ in range(4):  # what was answered before is more than a second old then
            await asyncio.sleep(SILENCE / 2)
            await one.say("still here")
        await one.say(*["hello"] * (MOST - 4))  # with those of the pauses, as many as may come within a second
        await until(lambda: len(_shouted(one)) >= 32 or one.closed is not None, 0.5, lambda: len(_shouted(one)))
        heard, silent = len(_shouted(one)), _silent_for(server, one)
    if heard < 32:
        raise Probe(AGAIN, "every message answered, and no close").saw(
            f"{heard} of 32 answers, {_closed(one)}",
            f"It was closed in a pause of {SILENCE / 2:.1f} s, as if it had been idle. {RESTART}"
            if silent > SILENCE / 8
            else LOST
            if one.closed is None
            else f"All but the last were answered: of {MOST} within one second, it was taken for one too many. "
            f"{MOST} may come, and the next one may not: compare before it is counted, or with `>`."
            if heard == 31
            else "The count is never taken back, or too late: more than a second after the first messages, they are "
            f"still counted. What counts are those of the last second, and {MOST} of them may come.",
        )


async def _edge(server: LiveServer, single: tuple[float, ...], twelve: tuple[float, float]) -> None:
    """Messages at those moments, one or twelve at once: 24 within a second, and in no second that a clock begins."""
    async with peer(server, PATH) as one:
        begun = clock.now()
        for moment in sorted(single + twelve):
            await asyncio.sleep(begun + moment - clock.now())
            await one.say(*["hello"] * (12 if moment in twelve else 1))
        await until(lambda: one.closed is not None, 0.3, lambda: len(_shouted(one)))
    if one.closed is None:
        raise Probe(EDGE, f"at most {MOST} answers to them, and a close with 1008").saw(
            f"all of them answered, {_closed(one)}",
            "60 at once are too many, and these 24 within one second are not. A second that begins at a fixed moment "
            "ends between them; a count that recovers meanwhile, or forgets sooner, lets more through. Any second "
            "counts: keep the times of the last MOST messages, and look how old the first of them is.",
        )


async def _long(server: LiveServer) -> None:
    """The longest message that is allowed, and one that is longer by a character, of one byte and of two."""
    for letter, what in (("x", "letters"), ("é", "times é, which takes two bytes")):
        most = LONGEST // len(letter.encode())
        async with peer(server, PATH) as one:
            await one.say(letter * most, letter * (most + 1))
            await until(lambda one=one: one.closed is not None or len(_shouted(one)) >= 2, 1.0)
            heard = [len(text) for text in _shouted(one)]
        probe = Probe(
            f"a message of {most:,} {what}, and one of {most + 1:,}", "an answer to the first, and a close with 1009"
        )
        if heard[:1] != [most]:
            raise probe.saw(
                f"{_closed(one)}, no answer",
                f"A message of {LONGEST:,} bytes keeps the limit, and was not answered. {last_error(server)}".strip(),
            )
        if len(heard) > 1 or one.closed is None:
            why = (
                "The limit is for bytes, and what was counted are characters: an é takes two of them. Count "
                "len(text.encode())."
                if letter == "é"
                else "What is longer than LONGEST is let in, and what is longer by far, up to uvicorn's own limit of "
                "16 MB. Compare with LONGEST, and close."
            )
            raise probe.saw(f"{quoted(heard)} characters back, {_closed(one)}", why)
        if one.closed != 1009:
            raise probe.saw(
                _closed(one),
                f"What is too long is refused, and the client sees {one.closed}. The code for that is 1009. "
                + last_error(server),
            )


async def _leaving(server: LiveServer, before: "set[asyncio.Task[Any]]") -> None:
    """What runs for a client ends with it, and not at the next ping."""
    async with peer(server, PATH) as one:
        await until(lambda: "ping" in one.texts, 1)
        port = one.port
        await one.socket.close()
        await until(lambda: any(message.kind == "disconnect" for message in server.record.conversation(port)), 0.5)
        await require_ended(server, before, LEAVING, within=EVERY / 2)
