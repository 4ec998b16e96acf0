"""A part of E1: clients that do not read, or not for a while, in a room where much is said."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from app_snippets.websockets.checks.common import Peer, peer
from app_snippets.websockets.checks.rooms import RED, require_no_errors, sizes_become
from workbench import clock
from workbench.clock import until
from workbench.judge import NotYet, Probe, frames_of, ms
from workbench.server import LiveServer

LARGE = "x" * 64_000
WAITING = 32  # texts that may wait for one client
MANY = 160  # large texts at the most: more than the kernel's buffers and a bounded queue take
AHEAD = 8  # large texts that are under way at once: whoever reads never has more of them to wait for
PATIENCE = 2.0  # seconds without a single text after which the room stands still
PAUSED = WAITING - 4  # texts that wait for a client when it reads again in time
STALLED = "a client that does not read, while another sends up to 160 texts of 64 kB"


async def slow_reader(server: LiveServer) -> int:
    """Returns how many texts were sent: as many as it takes until more than WAITING wait for the client."""
    async with AsyncExitStack() as stack:
        slow, late, mute = [
            await stack.enter_async_context(peer(server, RED, reads=False)) for _ in ("slow", "late", "mute")
        ]
        readers = [await stack.enter_async_context(peer(server, RED)) for _ in ("ada", "bob", "eve")]
        ada = readers[0]
        await sizes_become(server, {"red": 6, "blue": 1}, 1)
        sent, whole, took = 0, True, list[float]()

        def least() -> int:
            return min(len(one.texts) for one in readers)

        def waiting(one: Peer) -> int:
            return sent - sum(message.kind == "send" for message in server.record.conversation(one.port))

        while whole and sent < MANY and waiting(slow) < WAITING + 2 * AHEAD:
            begun = clock.now()
            await ada.say(f"{sent} {LARGE}")
            sent += 1
            enough = sent - AHEAD
            whole = await until(lambda enough=enough: least() >= enough, PATIENCE, least)  # type: ignore[misc]
            took.append(clock.now() - begun)
            if whole and late not in readers and waiting(late) >= PAUSED:
                whole = await until(lambda enough=sent: least() >= enough, PATIENCE, least)  # type: ignore[misc]
                mute.gone()
                stack.push_async_callback(_ended, asyncio.create_task(late.read()))
                await _catches_up(late, sent)
                readers.append(late)
        whole = whole and await until(lambda: least() >= sent, PATIENCE, least)
        if not whole or not _in_order(readers, sent):
            taken = sum(message.kind == "receive" for message in server.record.conversation(ada.port))
            raise _not_heard(server, readers, sent, stands_still=taken < sent)
        tasks = len(asyncio.all_tasks(server.loop))
        stack.push_async_callback(_ended, asyncio.create_task(slow.read()))
        closed = await until(lambda: slow.closed is not None, 1.0, lambda: len(slow.texts))
        _require_closed(slow, closed, sent, tasks)
        _require_no_wait(took)
    return sent


async def _ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait({task})


async def _catches_up(late: Peer, sent: int) -> None:
    await until(lambda: len(late.texts) >= sent or late.closed is not None, PATIENCE, lambda: len(late.texts))
    if len(late.texts) >= sent and late.closed is None:
        return
    raise Probe(f"a client that reads nothing until {PAUSED} texts wait for it, and then all", "all texts at it").saw(
        f"{len(late.texts)} of {sent}, " + (f"closed with {late.closed}" if late.closed else "still connected"),
        "A client that paused is given up too soon, or loses texts. WAITING texts may wait for one client, all "
        f"{WAITING} of them; only then it is too slow.",
    )


def _require_no_wait(took: list[float]) -> None:
    """No text took far longer than the others."""
    longest, usual = max(took), sorted(took)[len(took) * 9 // 10]
    if longest > max(0.15, 8 * usual):
        raise Probe(STALLED, "each text at those who read in the same short time").saw(
            f"one took {ms(longest)}, where nine in ten took less than {ms(usual)}",
            "For a while, the whole room waited for the client that does not read, until it was given up. Whoever "
            "speaks waits for nobody: a queue that is full is reason enough.",
        )


def _in_order(readers: list[Peer], sent: int) -> bool:
    return all(one.texts == [f"{number} {LARGE}" for number in range(sent)] for one in readers)


def _not_heard(server: LiveServer, readers: list[Peer], sent: int, *, stands_still: bool) -> NotYet:
    """stands_still: the texts are not even taken from the client that sends them."""
    heard = [len(one.texts) for one in readers]
    changed = next((str(text) for one in readers for text in one.texts if not str(text).endswith(LARGE)), "")
    if changed:
        return Probe(STALLED, f"texts of {len(LARGE):,} characters").saw(
            f"one of {len(changed):,} characters", "A text was changed on its way. Hand on what was said as it is."
        )
    if min(heard) >= sent:
        return Probe(STALLED, f"texts 0 to {sent - 1} in their order").saw(
            "all of them, and not in their order",
            "The texts overtake each other. One task for each client sends them one after the other.",
        )
    if not any(one.closed == 1013 for one in readers):
        require_no_errors(server, STALLED)
    probe = Probe(STALLED, f"all {sent} texts at each of the three clients that read")
    seen = (
        f"{min(heard)} of them, and then no more"
        if stands_still
        else f"{min(heard)}, {sorted(heard)[1]} and {max(heard)} of them"
    )
    sending = sum("send" in getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks(server.loop))  # type: ignore[arg-type]
    if any(one.closed for one in readers):
        return probe.saw(
            seen,
            "A client that reads all the while was closed. It never had more than a few texts to wait for: who is too "
            "slow is decided by its own queue, and WAITING texts may be in it.",
        )
    if max(heard) == min(heard) and sending:
        why = (
            "All sends are begun at once, and then all are awaited: gather() is done when the slowest is. Each text "
            "still waits for the client that does not read."
        )
    elif any(_waits_in(task, "Queue.put") for task in asyncio.all_tasks(server.loop)):
        why = (
            "put() waits when a queue is full, and whoever speaks waits with it: one client does not read, and the "
            "room stands still. put_nowait() never waits. It raises QueueFull, and then that client is too slow."
        )
    elif any(_waits_in(task, "WebSocket.close") for task in asyncio.all_tasks(server.loop)):
        why = (
            "close() waits for a client that does not read, as a send does, and whoever speaks waits with it. Take the "
            "client out of the room, and leave the close to its own task."
        )
    elif stands_still:
        why = (
            "One client does not read, and the room stands still: whoever speaks waits until everybody has taken the "
            "text. Leave it in a queue for each client, and let a task of its own send it."
        )
    elif all(one.texts == [f"{number} {LARGE}" for number in range(len(one.texts))] for one in readers):
        why = (
            "From some text on, a client that reads hears nothing more, and it was not closed: something "
            "ended its writer. A send has a timeout, and the wait for the next text has none."
        )
    else:
        why = (
            "Some texts were left out for a client that reads. A list that is changed while somebody goes through it "
            "skips one; a queue that drops what does not fit forgets."
        )
    return probe.saw(seen, why)


def _waits_in(task: asyncio.Task[Any], function: str) -> bool:
    """Whether a task waits in a function, such as `Queue.put`."""
    return any(frame.f_code.co_qualname == function for frame in frames_of(task.get_coro()))


def _require_closed(slow: Peer, closed: bool, sent: int, tasks: int) -> None:
    if closed and slow.closed == 1013:
        return
    probe = Probe(STALLED, "the client that does not read is closed with 1013")
    if closed:
        raise probe.saw(
            f"it is closed with {slow.closed}",
            f"The slow client is out, and it is told {slow.closed}"
            + (", which is what a lost connection looks like" if slow.closed == 1006 else "")
            + ". 1013 means: try again later. Await close(1013) where its texts are sent, before that task ends.",
        )
    if tasks > MANY // 3:
        why = (
            "A task for each text waits to be sent to it. They pile up without an end, each with its text in memory: "
            "one task for each client, and a queue that has a bound."
        )
    elif len(slow.texts) >= sent:
        why = (
            "It got every text, late: far more than WAITING of them were kept for it. A queue without a bound grows "
            "until the memory is gone. asyncio.Queue(WAITING) has one, and put_nowait() tells."
        )
    else:
        why = (
            "What did not fit was dropped, and the client does not know: it is still connected, and texts are missing. "
            "Take it out of the room and close it, so that it can come back."
        )
    raise probe.saw(f"it is still connected, and has {len(slow.texts)} of {sent} texts", why)
