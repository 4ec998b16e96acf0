"""E1: rooms, a bounded queue for each client, and a registry that is empty at the end."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

from app_snippets.websockets.checks.common import Peer, errors, last_error, peer
from workbench.around import ask
from workbench.clock import until
from workbench.judge import Answer, NotYet, Probe, exercise, quoted, tasks_of_the_cell
from workbench.server import LiveServer

RED, BLUE = "/rooms/red", "/rooms/blue"
LARGE = "x" * 64_000
WAITING = 32  # texts that may wait for one client
MANY = 160  # large texts at the most: more than the kernel's buffers and a bounded queue take
AHEAD = 8  # large texts that are under way at once: whoever reads never has more of them to wait for
PATIENCE = 2.0  # seconds without a single text after which the room stands still
ROUNDS = 10
STALLED = "a client that does not read, while another sends up to 160 texts of 64 kB"
CHURN = "ten clients that come and go, every second one without a word, while another sends"


@exercise(
    "A hub of rooms",
    asks_for="app",
    hints=[
        "Who waits for whom? The one who sends should wait for nobody. What could it leave a text in, for another task "
        "to send?",
        "A dict of rooms, each a set of queues: asyncio.Queue(WAITING). put_nowait() never waits. Who takes the texts "
        "out again, and what becomes of a client whose queue is full?",
        "A task for each client: while its queue is in the room, send_text(await queue.get()), then close(1013). A "
        "finally ends the task, discards the queue, and drops a room that is empty.",
    ],
    deadline=20,
)
async def room_hub(answer: Answer) -> str:
    """Rooms apart, a slow reader closed while the others hear all, churn, and nothing left at the end."""
    async with answer.served() as server:
        await _rooms_apart(server)
        await _all_gone(server, "three clients in two rooms that have left")
        sent = await _slow_reader(server)
        await _all_gone(server, STALLED + "; then all leave")
        await _churn(server)
        await _all_gone(server, CHURN + "; then all leave")
        await _nothing_runs(server)
        _require_no_errors(server, CHURN + "; then all leave")
    return f"{sent} of {sent} texts at each client that reads, the slow one closed, no room left."


def _require_no_errors(server: LiveServer, tried: str) -> None:
    found = errors(server)
    if not found:
        return
    if any("changed size during iteration" in one for one in found):
        why = (
            "A room was changed while somebody went through it: between two awaits others come and go, and the one who "
            "was sending is thrown out. Go through a copy, list(members), and await nothing meanwhile."
        )
    elif any(one.startswith(("KeyError", "ValueError")) for one in found):
        why = (
            f"A client was removed twice: {found[0][:80]}. Whoever is thrown out as too slow leaves as well, a moment "
            "later. To leave a second time must be harmless: discard() is, remove() is not."
        )
    elif any("in receive_text" in one and "in send" not in one for one in server.errors):
        why = (
            "receive_text() raises WebSocketDisconnect when its client has left, and nobody catches it: each client "
            "that leaves is an error in the log. Catch it, or read with `async for text in websocket.iter_text()`."
        )
    elif any("Disconnect" in one for one in found):
        why = (
            "A client had gone, to send to it failed, and that ended the handler of somebody else. What goes wrong "
            "with one client must end in its own task."
        )
    else:
        why = f"The server's log has an error: {last_error(server)} Fix that first."
    raise Probe(tried, "no error in the server's log").saw(quoted(found[0], 90), why)


async def _sizes(server: LiveServer) -> Any:
    call = await ask(server, "/rooms", timeout=2)
    try:
        return call.json()
    except ValueError:
        raise Probe("`GET /rooms`", 'the rooms and how many are in each, `{"red": 2, "blue": 1}`').saw(
            f"status {call.status}", f"`/rooms` does not answer with JSON. {last_error(server)}".strip()
        ) from None


async def _sizes_become(server: LiveServer, expected: dict[str, int], within: float) -> Any:
    """What `GET /rooms` answers when it is what is expected, or at last."""
    sizes: Any = None

    async def as_expected() -> bool:
        nonlocal sizes
        sizes = await _sizes(server)
        return bool(sizes == expected)

    await until(as_expected, within)
    return sizes


async def _rooms_apart(server: LiveServer) -> None:
    tried = "two clients in red and one in blue, each says one thing"
    async with peer(server, RED) as ada, peer(server, RED) as bob, peer(server, BLUE) as eve:
        sizes = await _sizes_become(server, {"red": 2, "blue": 1}, 0.7)
        last = ((ada, "and ada again"), (eve, "and eve again"))  # whoever has heard it has heard all before
        for one, text in ((ada, "from ada"), (bob, "from bob"), (eve, "from eve"), *last):
            await one.say(text)
            if not await until(lambda one=one, text=text: text in one.texts, 1):
                break
        await until(lambda: "and ada again" in bob.texts, 0.5)
        heard: dict[str, Sequence[str | bytes]] = {"ada": ada.texts, "bob": bob.texts, "eve": eve.texts}
    red, blue = ["from ada", "from bob", "and ada again"], ["from eve", "and eve again"]
    expected = {"ada": red, "bob": red, "eve": blue}
    probe = Probe(tried, "each hears its own room, itself too, each text once")
    seen = quoted(heard, 160)
    if any(set(blue) & set(heard[name]) for name in ("ada", "bob")) or set(red) & set(heard["eve"]):
        raise probe.saw(
            seen,
            "What is said in one room is heard in the other. One list for everybody has no rooms: keep the members of "
            "each room by themselves.",
        )
    if "from ada" not in heard["ada"] and "from ada" in heard["bob"]:
        raise probe.saw(seen, "Whoever speaks does not hear itself. The sender is a member like any other.")
    if heard != expected:
        _require_no_errors(server, tried)
        raise probe.saw(
            seen,
            "Not everybody in a room heard what was said there. Who takes the texts out of a client's queue, and is "
            "that task running?"
            if any(set(expected[name]) - set(heard[name]) for name in heard)
            else "Something was heard twice, out of order, or changed on its way.",
        )
    if sizes != {"red": 2, "blue": 1}:
        raise Probe("`GET /rooms`, with two clients in red and one in blue", "`{'red': 2, 'blue': 1}`").saw(
            quoted(sizes, 60),
            "The rooms are apart, and `sizes()` does not tell: it is the name of each room, and how many are in it.",
        )


async def _all_gone(server: LiveServer, tried: str) -> None:
    """The registry is empty soon after the last client has left."""
    if (sizes := await _sizes_become(server, {}, 1.4)) == {}:
        return
    _require_no_errors(server, tried)
    empty = isinstance(sizes, dict) and not any(sizes.values())
    raise Probe(tried, "`GET /rooms` answers `{}`").saw(
        quoted(sizes, 60),
        "Empty rooms are kept. Anybody can make up names, and each one stays in memory for ever: whoever leaves last "
        "takes the room along."
        if empty
        else "Clients that have gone are still members. A finally is reached however a client leaves, the lines after "
        "a loop are not.",
    )


async def _slow_reader(server: LiveServer) -> int:
    """Returns how many texts were sent: as many as it takes until more than WAITING wait for the client."""
    async with AsyncExitStack() as stack:
        bob = await stack.enter_async_context(peer(server, RED))
        slow = await stack.enter_async_context(peer(server, RED, reads=False))
        ada = await stack.enter_async_context(peer(server, RED))
        eve = await stack.enter_async_context(peer(server, RED))
        await _sizes_become(server, {"red": 4}, 1)
        readers = [bob, ada, eve]
        sent, whole = 0, True

        def least() -> int:
            return min(len(one.texts) for one in readers)

        def begun() -> int:  # sends to the client that does not read
            return sum(one.kind == "send" for one in server.record.conversation(slow.port))

        while whole and sent < MANY and sent - begun() < WAITING + 2 * AHEAD:
            await ada.say(f"{sent} {LARGE}")
            sent += 1
            enough = sent - AHEAD
            whole = await until(lambda enough=enough: least() >= enough, PATIENCE, least)  # type: ignore[misc]
        whole = whole and await until(lambda: least() >= sent, PATIENCE, least)
        if not whole or not _in_order(readers, sent):
            taken = sum(message.kind == "receive" for message in server.record.conversation(ada.port))
            raise _not_heard(server, readers, sent, stands_still=taken < sent)
        tasks = len(asyncio.all_tasks(server.loop))
        reading = asyncio.create_task(slow.read())
        closed = await until(lambda: slow.closed is not None, 1.0, lambda: len(slow.texts))
        reading.cancel()
        await asyncio.wait({reading})
        _require_closed(slow, closed, sent, tasks)
    return sent


def _in_order(readers: list[Peer], sent: int) -> bool:
    numbers = [[str(text).partition(" ")[0] for text in one.texts] for one in readers]
    return all(one == [str(number) for number in range(sent)] for one in numbers)


def _not_heard(server: LiveServer, readers: list[Peer], sent: int, *, stands_still: bool) -> NotYet:
    """stands_still: the texts are not even taken from the client that sends them."""
    heard = [len(one.texts) for one in readers]
    if min(heard) >= sent:
        return Probe(STALLED, f"texts 0 to {sent - 1} in their order").saw(
            "all of them, and not in their order",
            "The texts overtake each other. One task for each client sends them one after the other.",
        )
    _require_no_errors(server, STALLED)
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
    elif any(_waits_for_room(task) for task in asyncio.all_tasks(server.loop)):
        why = (
            "put() waits when a queue is full, and whoever speaks waits with it: one client does not read, and the "
            "room stands still. put_nowait() never waits. It raises QueueFull, and then that client is too slow."
        )
    elif stands_still:
        why = (
            "One client does not read, and the room stands still: whoever speaks waits until everybody has taken the "
            "text. Leave it in a queue for each client, and let a task of its own send it."
        )
    else:
        why = (
            "Some texts were left out for a client that reads. A list that is changed while somebody goes through it "
            "skips one; a queue that drops what does not fit forgets."
        )
    return probe.saw(seen, why)


def _waits_for_room(task: asyncio.Task[Any]) -> bool:
    """Whether a task waits in `Queue.put`."""
    inner: Any = task.get_coro()
    while inner is not None:
        if getattr(inner, "__qualname__", "") == "Queue.put":
            return True
        inner = getattr(inner, "cr_await", None) or getattr(inner, "ag_await", None)
    return False


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
            "It got every text, late: they were kept for it, however many. A queue without a bound grows until the "
            "memory is gone. asyncio.Queue(WAITING) has one, and put_nowait() tells."
        )
    else:
        why = (
            "What did not fit was dropped, and the client does not know: it is still connected, and texts are missing. "
            "Take it out of the room and close it, so that it can come back."
        )
    raise probe.saw(f"it is still connected, and has {len(slow.texts)} of {sent} texts", why)


async def _churn(server: LiveServer) -> None:
    said = 0
    async with peer(server, RED) as ada, peer(server, RED) as bob:
        for number in range(ROUNDS):
            async with peer(server, RED) as guest:
                for _ in range(3):
                    await ada.say(str(said))
                    said += 1
                if number % 2:
                    guest.gone()
                else:
                    await guest.socket.close()
                await ada.say(str(said))
                said += 1
            expected = [str(one) for one in range(said)]
            whole = await until(
                lambda expected=expected: ada.texts == expected == bob.texts, 0.8, lambda: len(bob.texts)
            )
            if not whole:
                _require_no_errors(server, CHURN)
                raise Probe(CHURN, f"{said} texts at each of the two clients that stay").saw(
                    f"{len(ada.texts)} at the one that sends, {len(bob.texts)} at the other"
                    + (", which was thrown out" if bob.closed else "")
                    + ("; the one that sends was thrown out" if ada.closed else ""),
                    "Somebody else left, and a client that stays lost texts or its connection. What goes wrong with "
                    "one client must end in its own task.",
                )
    _require_no_errors(server, CHURN)


async def _nothing_runs(server: LiveServer) -> None:
    """No task of the cell is left when all clients have gone."""
    if await until(lambda: not tasks_of_the_cell(server), 0.6):
        return
    tasks = tasks_of_the_cell(server)
    deaf = any(task.cancelling() for task in tasks)
    raise Probe(CHURN + "; then all leave", "no task of yours is left").saw(
        f"{len(tasks)} still run",
        "A writer cannot be ended: it catches everything, and CancelledError is what cancel() raises in it. Catch what "
        "can go wrong with a client, WebSocketDisconnect and RuntimeError, and let the rest through. (Before Python "
        "3.12, wait_for() can hide it as well; asyncio.timeout() does not.)"
        if deaf
        else "The writers of clients that have gone wait for texts that never come. Who ends them? A finally with "
        "cancel() does.",
    )
