"""E1: rooms, a bounded queue for each client, and a registry that is empty at the end."""

import asyncio
import gc
from collections.abc import Sequence
from typing import Any

from app_snippets.websockets.checks.common import Peer, handlers, peer
from app_snippets.websockets.checks.rooms import BLUE, GREEN, RED, require_no_errors, sizes_become
from app_snippets.websockets.checks.slow_reader import STALLED, slow_reader
from workbench import clock
from workbench.clock import until
from workbench.judge import Answer, Probe, exercise, quoted, tasks_of_the_cell, where_it_is
from workbench.server import LiveServer

ROUNDS = 10
SILENCE = 0.4  # seconds at least in which nothing is said in a room
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
        before = set(tasks_of_the_cell(server))
        await _rooms_apart(server)
        await _all_gone(server, "three clients in two rooms that have left")
        async with peer(server, BLUE) as quiet:
            begun = clock.now()
            sent = await slow_reader(server)
            await asyncio.sleep(begun + SILENCE - clock.now())
            await _hears_still(server, quiet)
        await _all_gone(server, STALLED + "; then all leave")
        await _churn(server)
        await _all_gone(server, CHURN + "; then all leave")
        await _nothing_runs(server, before)
        require_no_errors(server, CHURN + "; then all leave")
        _require_nothing_kept(answer)
    return f"{sent} of {sent} texts at each client that reads, the slow one closed, no room left."


async def _rooms_apart(server: LiveServer) -> None:
    tried = "two clients in red and one in blue, each says one thing"
    async with peer(server, RED) as ada, peer(server, RED) as bob, peer(server, BLUE) as eve:
        sizes = await sizes_become(server, {"red": 2, "blue": 1}, 0.7)
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
        require_no_errors(server, tried)
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
    if (sizes := await sizes_become(server, {}, 1.4)) == {}:
        return
    require_no_errors(server, tried)
    empty = isinstance(sizes, dict) and not any(sizes.values())
    raise Probe(tried, "`GET /rooms` answers `{}`").saw(
        quoted(sizes, 60),
        "Empty rooms are kept. Anybody can make up names, and each one stays in memory for ever: whoever leaves last "
        "takes the room along."
        if empty
        else f"Clients that have gone are still members, and their handlers have not returned: {where_it_is()}. A "
        "writer waits for its next text for ever: cancel() it, and then leave."
        if handlers(server)
        else "Clients that have gone are still members. A finally is reached however a client leaves, the lines after "
        "a loop are not.",
    )


async def _hears_still(server: LiveServer, quiet: Peer) -> None:
    """A client that has heard nothing for a while hears what is said then."""
    await quiet.say("at last")
    if not await until(lambda: quiet.texts, 1):
        require_no_errors(server, "a client in a room where nothing is said for a while")
        raise Probe("a client in a room where nothing is said for a while, then something", "it hears that").saw(
            "nothing" + (f", closed with {quiet.closed}" if quiet.closed else ""),
            "Nothing was said to it for a while, and that ended its writer, or its connection. A send has a timeout, "
            "and the wait for the next text has none.",
        )


async def _churn(server: LiveServer) -> None:
    said = 0
    async with peer(server, GREEN) as ada, peer(server, GREEN) as bob:
        for number in range(ROUNDS):
            async with peer(server, GREEN) as guest:
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
                require_no_errors(server, CHURN)
                raise Probe(CHURN, f"{said} texts at each of the two clients that stay").saw(
                    f"{len(ada.texts)} at the one that sends, {len(bob.texts)} at the other"
                    + (", which was thrown out" if bob.closed else "")
                    + ("; the one that sends was thrown out" if ada.closed else ""),
                    "Somebody else left, and a client that stays lost texts or its connection. What goes wrong with "
                    "one client must end in its own task.",
                )
    require_no_errors(server, CHURN)


def _require_nothing_kept(answer: Answer) -> None:
    """The hub itself has forgotten its rooms, and does not only not tell of them."""
    hubs = [one for one in gc.get_objects() if type(one) is answer["Hub"]]
    kept = quoted([vars(one) for one in hubs if hasattr(one, "__dict__")], 2_000)
    if any(f"'{room}'" in kept for room in ("red", "blue", "green")):
        raise Probe(CHURN + "; then all leave", "a hub that knows of no room").saw(
            quoted([vars(one) for one in hubs], 90),
            "Empty rooms are kept, and `sizes()` does not tell of them. Anybody can make up names, and each one stays "
            "in memory for ever: whoever leaves last takes the room along.",
        )


async def _nothing_runs(server: LiveServer, before: "set[asyncio.Task[Any]]") -> None:
    """No task of the cell is left when all clients have gone, but those that ran before the first had come."""
    if await until(lambda: before >= set(tasks_of_the_cell(server)), 0.6):
        return
    tasks = [task for task in tasks_of_the_cell(server) if task not in before]
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
