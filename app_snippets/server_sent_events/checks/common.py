"""What the exercises of "Server-sent events" are judged with."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from app_snippets.server_sent_events.sse_client import Event, events
from workbench import clock
from workbench.around import Call
from workbench.judge import Probe, failure_in_words, leaves, where_it_is
from workbench.server import LiveServer
from workbench.server.record import MARK

_numbers = itertools.count(1)

TIMEOUT = 2.5  # seconds after which a stream that says nothing counts as hanging


@dataclass
class Heard:
    """One connection as its client saw it. `raw` is all that came, `call` has the server's view of it."""

    call: Call
    events: list[Event] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    ended: bool = False  # by the server, in good order
    broken: bool = False  # by the server, in the middle
    silent: bool = False  # nothing came for TIMEOUT seconds
    where: str = ""  # where the answer was then, while its client was still there

    @property
    def raw(self) -> str:
        return "".join(self.pieces)

    @property
    def media_type(self) -> str:
        return self.call.headers.get("content-type", "").partition(";")[0].strip()

    @property
    def kinds(self) -> list[str]:
        return [one.kind for one in self.events]

    @property
    def raised(self) -> list[BaseException]:
        """What the endpoint raised."""
        return leaves(self.call.request.error) if self.call.request else []


class Noted:
    """A response whose text is kept, too, and of which it is known where it is when none has come for `patience`.

    With the timeout, in seconds, the client leaves, and then it is somewhere else.
    """

    def __init__(self, response: httpx.Response, found: Heard, patience: float) -> None:
        self.request, self._response, self._found, self._patience = response.request, response, found, patience

    async def aiter_text(self) -> AsyncIterator[str]:
        look = self._look_later()
        try:
            async for piece in self._response.aiter_text():
                self._found.pieces.append(piece)
                look.cancel()
                look = self._look_later()
                yield piece
        finally:
            look.cancel()

    def _look_later(self) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(self._patience, self._look)

    def _look(self) -> None:
        self._found.where = where_it_is()


async def heard(
    server: LiveServer | str,
    path: str,
    *,
    last_id: str = "",
    until: Callable[[Event], bool] = lambda event: False,
    timeout: float = TIMEOUT,
    into: Heard | None = None,
) -> Heard:
    """Listen to a stream of events, and leave after the one for which `until` says so.

    server: a live server, or the address of one in another process.
    into: what to fill, for a caller that looks at it meanwhile.
    """
    found = into or Heard(Call(0, path, clock.now()))
    url = server if isinstance(server, str) else server.url
    mark = f"heard-{next(_numbers)}-"
    headers: dict[str, str | bytes] = {MARK.decode(): mark}
    if last_id:
        headers["last-event-id"] = last_id.encode("latin-1")
    try:
        async with (
            httpx.AsyncClient(base_url=url, trust_env=False, verify=False, timeout=timeout) as client,
            client.stream("GET", path, headers=headers) as response,
        ):
            found.call.status, found.call.headers = response.status_code, dict(response.headers)
            if response.status_code != 200 or found.media_type != "text/event-stream":
                found.call.body = await response.aread()
                return found
            noted: Any = Noted(response, found, 0.9 * timeout)
            async for event in events(noted):
                found.events.append(event)
                if until(event):
                    return found
            found.ended = True
    except httpx.TimeoutException:
        found.silent = True
        found.call.error = f"nothing came for {timeout:g} s"
    except httpx.HTTPError as error:
        found.broken = True
        found.call.error = f"{type(error).__name__}: {error}"
    finally:
        found.call.end = clock.now()
        if isinstance(server, LiveServer) and not found.silent:
            request = found.call.request = next(iter(server.record.marked(mark)), None)
            failed = found.broken or (found.call.status or 0) >= 500  # what was raised is known a moment later
            await clock.until(lambda: request is None or request.done is not None, 2.0 if failed else 0.3)
    return found


def require_stream(found: Heard, tried: str) -> None:
    """An answer with status 200 that is a stream of events. Raises NotYet."""
    if found.call.status != 200:
        raise Probe(tried, "status 200 and a stream of events").saw(**failure_in_words(found.call))
    if found.media_type != "text/event-stream":
        raise Probe(tried, "a stream of events, text/event-stream").saw(
            f"`{found.media_type or 'no content type'}`",
            "The content type says what it is, and a browser's EventSource takes text/event-stream only. "
            "response_class=EventSourceResponse and an endpoint that yields make it so.",
        )


def count(number: int, what: str) -> str:
    """ "no step", "1 step", "3 steps"."""
    return f"{number or 'no'} {what}{'s' * (number > 1)}"
