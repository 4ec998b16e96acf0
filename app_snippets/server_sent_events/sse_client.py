"""A client that reads server-sent events as the standard says, and comes back as a browser does."""

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from httpx import AsyncClient, RemoteProtocolError, Response


@dataclass
class Event:
    kind: str
    data: str
    id: str
    at: float = field(default_factory=time.perf_counter, repr=False)


async def events(response: Response) -> AsyncIterator[Event]:
    rest, fields, last_id = "", dict[str, list[str]](), response.request.headers.get("last-event-id", "")
    async for piece in response.aiter_text():
        *lines, rest = re.split(r"\r\n|\n|\r(?!$)", rest + piece)
        for line in lines:
            if line:
                name, _, value = line.partition(":")
                fields.setdefault(name, []).append(value.removeprefix(" "))
                continue
            last_id = fields.get("id", [last_id])[-1]  # an empty line: the event is complete
            if "data" in fields:  # one without data is none
                yield Event(fields.get("event", [""])[-1] or "message", "\n".join(fields["data"]), last_id)
            fields = {}


async def listen(client: AsyncClient, path: str, got: list[Event], until: str = "end", connections: int = 1) -> None:
    """Put the events up to `until` into `got`, over so many connections at most, each going on after the last id."""
    for number in range(connections):
        await asyncio.sleep(0.3 if number else 0)
        headers = {"last-event-id": got[-1].id} if got and got[-1].id else {}
        with contextlib.suppress(RemoteProtocolError):
            async with client.stream("GET", path, headers=headers) as response:
                async for event in events(response):
                    got.append(event)
                    if event.kind == until:
                        return
