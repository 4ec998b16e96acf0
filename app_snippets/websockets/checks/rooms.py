"""What the parts of E1 share: the rooms, what is said of errors, and how many are in each room."""

import re
from typing import Any

from app_snippets.websockets.checks.common import errors, errors_in, last_error, why_failed
from workbench.around import ask
from workbench.clock import until
from workbench.judge import Probe, quoted
from workbench.server import LiveServer

RED, BLUE, GREEN = "/rooms/red", "/rooms/blue", "/rooms/green"


def _removing(entry: str) -> bool:
    """Whether something was removed where an entry of the log was raised."""
    return bool(re.search(r"\.(remove|pop|leave)\(|\bdel ", entry))


def require_no_errors(server: LiveServer, tried: str) -> None:
    found = errors(server)
    if not found:
        return
    if any("changed size during iteration" in one for one in found):
        why = (
            "A room was changed while somebody went through it: between two awaits others come and go, and the one who "
            "was sending is thrown out. Go through a copy, list(members), and await nothing meanwhile."
        )
    elif any(one.startswith(("KeyError", "ValueError")) for one in found) and any(map(_removing, server.errors)):
        why = (
            f"A client was removed twice: {found[0][:80]}. Whoever is thrown out as too slow leaves as well, a moment "
            "later. To leave a second time must be harmless: discard() is, remove() is not."
        )
    elif any("QueueFull" in one for one in found):
        why = (
            "put_nowait() raises QueueFull when a client's queue is full, nobody catches it, and the one who was "
            "speaking is thrown out. Catch it there: the client whose queue is full is the one that leaves."
        )
    else:
        why = why_failed(next(one for one in server.errors if errors_in(one)))
    raise Probe(tried, "no error in the server's log").saw(quoted(found[0], 90), why)


async def _sizes(server: LiveServer) -> Any:
    call = await ask(server, "/rooms", timeout=2)
    try:
        return call.json()
    except ValueError:
        raise Probe("`GET /rooms`", 'the rooms and how many are in each, `{"red": 2, "blue": 1}`').saw(
            f"status {call.status}", f"`/rooms` does not answer with JSON. {last_error(server)}".strip()
        ) from None


async def sizes_become(server: LiveServer, expected: dict[str, int], within: float) -> Any:
    """What `GET /rooms` answers when it is what is expected, or at last."""
    sizes: Any = None

    async def as_expected() -> bool:
        nonlocal sizes
        sizes = await _sizes(server)
        return bool(sizes == expected)

    await until(as_expected, within)
    return sizes
