"""The lives of servers with three resources that fail where they are told to, and all that is logged meanwhile."""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI

from workbench.around import ask
from workbench.judge import Answer, NotYet, Probe, innermost, place_in_words, where_it_is
from workbench.server import ServeError, serve
from workbench.server.record import ASGIApp, Message, Receive, Scope, Send

NAMES = ["client", "database", "broker"]
SERVING = "serving"  # what the log says when the lifespan has come to its `yield`


class Broken(Exception):
    """What a resource raises where it is told to fail."""


class Refused(Broken, ConnectionError):
    """The same, of the kind that is expected of a network."""


class Closed(RuntimeError):
    """What a resource raises when it is asked, and is not open."""


@dataclass(repr=False)
class Stand:
    """A resource that notes in a log what happens to it, and fails where one of the faults says so."""

    name: str
    log: list[str]
    faults: tuple[str, ...]
    answer: str = field(default_factory=lambda: secrets.token_hex(4))
    is_open: bool = False

    async def open(self) -> None:
        await self._do("open")

    async def close(self) -> None:
        await self._do("close")

    async def ask(self) -> str:
        if not self.is_open:
            raise Closed(f"the {self.name} is not open")
        return self.answer

    async def _do(self, what: str) -> None:
        self.log.append(f"{what} {self.name}")
        await asyncio.sleep(0.01)
        if f"{what} {self.name}" in self.faults:
            self.log.append(f"{what} {self.name} failed")
            raise (Broken if self.name == "database" else Refused)(f"{what} {self.name}: refused")
        self.is_open = what == "open"
        self.log.append(f"{what} {self.name} done")

    def __repr__(self) -> str:
        return f"<the {self.name}>"


@dataclass
class Story:
    """What came of one server's life under some faults."""

    tried: str
    faults: tuple[str, ...]
    log: list[str] = field(default_factory=list)
    stands: list[Stand] = field(default_factory=list)
    error: BaseException | None = None  # why it did not start
    lines: list[tuple[logging.LogRecord, str]] = field(default_factory=list)  # what was logged, each with its text
    status: Any = None  # the call of /status

    def did(self, what: str) -> list[str]:
        """The resources of which the log says "open … done" or "close …", in order."""
        verb, _, end = what.partition(" ")
        return [name for one in self.log for name in NAMES if one == " ".join(filter(None, [verb, name, end]))]

    @property
    def said(self) -> str:
        """The whole log, as text."""
        return "\n".join(text for _, text in self.lines)

    @property
    def left_open(self) -> list[str]:
        return [name for name in self.did("open done") if name not in self.did("close")]

    @property
    def opened_late(self) -> bool:
        """Whether something was opened, or still being opened, when the server took requests already."""
        return any(one.startswith("open") for one in self.log[self.log.index(SERVING) :])

    def side_by_side(self, verb: str) -> bool:
        """Whether one of them was begun before the one before it had ended."""
        lengths = [len(one.split()) for one in self.log if one.startswith(verb)]
        return lengths != [2, 3] * (len(lengths) // 2)

    def not_yet(self, expected: str, diagnosis: str) -> NotYet:
        """What to raise when the log shows something else."""
        return Probe(self.tried, expected).saw(self.in_words, diagnosis)

    @property
    def in_words(self) -> str:
        """What happened, in short: `open client, open database ✘`."""
        begun = [one for one in self.log if len(one.split()) < 3]
        return ", ".join(f"{one} ✘" if f"{one} failed" in self.log else one for one in begun) or "nothing"


def in_words(faults: tuple[str, ...]) -> str:
    calls = " and ".join(f"`{name}.{verb}()`" for verb, name in map(str.split, faults))
    return f"a {'start' if faults[0].startswith('open') else 'stop'} at which {calls} fail{'s'[: 2 - len(faults)]}"


_living: ContextVar[Story | None] = ContextVar("living", default=None)


@contextlib.contextmanager
def all_that_is_logged() -> Iterator[None]:
    """Give each story the lines of its log, whichever logger and handler they go to."""
    make = logging.getLogRecordFactory()

    def noting(*args: Any, **options: Any) -> logging.LogRecord:
        record = make(*args, **options)
        if (story := _living.get()) is not None:
            story.lines.append((record, logging.Formatter().format(record)))
        return record

    logging.setLogRecordFactory(noting)
    try:
        yield
    finally:
        logging.setLogRecordFactory(make)


def _noting(app: ASGIApp, story: Story) -> ASGIApp:
    """The app, with a note in the story's log when its lifespan has come to the `yield`."""

    async def noted(scope: Scope, receive: Receive, send: Send) -> None:
        async def noting_send(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                story.log.append(SERVING)
            await send(message)

        _living.set(story)
        await app(scope, receive, noting_send)

    return noted


async def lived(answer: Answer, story: Story) -> Story:
    """One app's whole life: made, started, asked, stopped."""
    make_app = await answer.load()
    story.stands = [Stand(name, story.log, story.faults) for name in NAMES]
    app = make_app(*story.stands)
    if asyncio.iscoroutine(app):
        app.close()
    if not isinstance(app, FastAPI):
        raise Probe("`make_app(client, database, broker)`", "a FastAPI app").saw(
            f"a {type(app).__name__}", "make_app must return the app that it makes."
        )
    name = f"answer {', '.join(story.faults)}"
    try:
        server = await asyncio.to_thread(serve, _noting(app, story), name=name, start_timeout=2)
    except ServeError as error:
        story.error = error.__cause__ or error
        if not any(one.startswith("open") for one in story.faults) or error.__cause__ is None:
            raise _refused_start(story, error) from error
        return story
    story.status = await ask(server, "/status", timeout=2)
    await asyncio.to_thread(server.stop)
    return story


def _refused_start(story: Story, error: ServeError) -> NotYet:
    cause = error.__cause__
    where = place_in_words(innermost(cause.__traceback__)) or type(cause).__name__ if cause else where_it_is()
    return Probe(story.tried, "an app that starts").saw(where, f"{error}")
