"""An answer's app under uvicorn, in a process of its own whose main thread it has, to be sent signals.

That process tells what happened in it, and when by its own clock: neither the reading nor the judging is part of that.
"""

import asyncio
import contextlib
import logging
import multiprocessing
import re
import signal
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any

from workbench import clock
from workbench.clock import until
from workbench.judge import FILE, find_exercise, load_cell, place_in_words, where_it_waits
from workbench.server import as_asgi

GRACE = 2  # seconds that uvicorn gives open requests when it is asked to stop
EVERY = 0.25  # seconds between two ticks, until `slow`
PATIENCE = 6.0  # seconds for what comes without a wait, or never
HEARS = 1.0  # seconds for the server to hear of SIGTERM, which it does at once or never
BYE = re.compile(rb"^event: ?bye", re.MULTILINE)


@dataclass(frozen=True)
class Loop:
    """Looks at the process's loop: in how many of them the answer held it, 1 for all, and where most often."""

    held: float
    where: str


@dataclass(frozen=True)
class Stopped:
    """How the server stopped. Times are in seconds since SIGTERM.

    `byes` is when each stream said bye, `ended` when the last of them was over, `stopped` when the server was.
    """

    byes: list[float]
    ended: float
    stopped: float
    why: str = ""  # what was so when half of GRACE was over and streams went on, one word
    where: str = ""  # the line at which a stream waited then

    @property
    def cut_off(self) -> bool:
        """Whether the server has lost its patience with a stream: it waits for GRACE, no less."""
        return self.ended >= GRACE


@dataclass
class Apart:
    """A process that serves. `url` once it does, `said` where it could not."""

    process: BaseProcess
    pipe: Connection
    url: str = ""
    said: str = ""
    told: dict[type, Any] = field(default_factory=dict)  # what came through the pipe, the last of each kind

    async def started(self) -> bool:
        """Wait until it serves. Returns whether it does."""
        serves = await self._hear(tuple, PATIENCE)
        self.url, self.said = serves or ("", "it did not start in time: its lifespan has not reached `yield`")
        return bool(self.url)

    def watch(self) -> None:
        """From now on, note where the answer holds the loop."""
        self._tell("watch")

    async def looked(self) -> Loop:
        """What was seen since `watch`."""
        self._tell("look")
        return await self._hear(Loop, PATIENCE) or Loop(1.0, "")

    def slow(self) -> None:
        """From now on, EVERY is as given."""
        self._tell("slow")

    async def terminated(self) -> bool:
        """Send SIGTERM. Returns whether the server has heard of it, or the process has ended."""
        self._tell("terminate")
        heard = await self._hear(bool, HEARS + PATIENCE)
        return heard is not False

    async def stopped(self) -> Stopped | None:
        """Wait until the server has stopped, and its process has ended. None where it does not say how."""
        await until(lambda: self.process.exitcode is not None, 2.5 * GRACE)
        return await self._hear(Stopped, 0.0)

    @property
    def lives(self) -> bool:
        """Whether the process has not ended."""
        return self.process.exitcode is None

    def _tell(self, word: str) -> None:
        with contextlib.suppress(OSError):
            self.pipe.send(word)

    async def _hear(self, kind: type, within: float) -> Any:
        def came() -> bool:
            with contextlib.suppress(OSError, EOFError):
                while self.pipe.poll():
                    found = self.pipe.recv()
                    self.told[type(found)] = found
                return kind in self.told
            return True  # nobody is there any more

        await until(came, within)
        return self.told.get(kind)


@contextlib.contextmanager
def apart(source: str, exercise: str) -> Iterator[Apart]:
    """Start a process that serves the answer. It is killed at the end of the block, if it still runs."""
    context: Any = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    ours, theirs = context.Pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside a thread: ours only sleeps
        process = context.Process(target=_main, args=(theirs, source, exercise), daemon=True)
        process.start()
    theirs.close()
    try:
        yield Apart(process, ours)
    finally:
        process.kill()
        process.join(2)
        ours.close()


# in that process


@dataclass
class _Stream:
    """One request: when it said bye, and when it was over."""

    bye: float | None = None
    ended: float | None = None


class _Event(asyncio.Event):
    """An asyncio.Event. Those that the cell makes are noted."""

    made: "list[_Event]" = []  # noqa: RUF012
    was_set = False

    def __init__(self) -> None:
        super().__init__()
        if sys._getframe(1).f_code.co_filename == FILE:
            self.made.append(self)

    def set(self) -> None:
        self.was_set = True
        super().set()


class _Inside:
    """The answer's app, what its streams do, and the conversation about that."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe
        self.cell: Any = None
        self.app: Any = None
        self.handled: list[tuple[int, bool]] = []  # signals that the cell handles, and whether the server ran by then
        self.why, self.where = "", ""
        self.server: Any = None
        self.loop: Any = None
        self.failed: list[str] = []
        self.streams: list[_Stream] = []
        self.asked = 0.0  # when SIGTERM was sent
        self._once = threading.Lock()

    def tell(self, what: object) -> None:
        with self._once, contextlib.suppress(OSError):
            self.pipe.send(what)

    def note(self) -> None:
        """From now on, note what the cell does with signals and Events."""
        handle = signal.signal

        def noting(number: Any, handler: Any) -> Any:
            if sys._getframe(1).f_code.co_filename == FILE:
                self.handled.append((int(number), self.server is not None))
            return handle(number, handler)

        signal.signal = noting  # type: ignore[assignment]
        asyncio.Event = _Event  # type: ignore[misc]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.loop = asyncio.get_running_loop()
        stream = _Stream()
        if scope["type"] == "http":
            self.streams.append(stream)

        async def noting_send(message: Any) -> None:
            if stream.bye is None and BYE.search(message.get("body", b"")):
                stream.bye = clock.now()
            await send(message)

        try:
            await self.app(scope, receive, noting_send)
        except BaseException as error:
            self.failed.append(f"{type(error).__name__}: {error}")
            raise
        finally:
            stream.ended = clock.now()

    def converse(self) -> None:
        """Do what the judge asks for, in a thread of its own: the loop may be held."""
        with contextlib.suppress(OSError, EOFError):
            while word := self.pipe.recv():
                if word == "watch":
                    self.tell(self.watched())
                elif word == "slow":
                    self.cell.EVERY = 5.0
                elif word == "terminate":
                    self.terminate()

    def watched(self) -> Loop:
        """Look where the main thread is, again and again until the judge has something to say."""
        looks, lines = 0, Counter[int]()
        while not self.pipe.poll(0.004):
            looks += 1
            frame: FrameType | None = sys._current_frames()[threading.main_thread().ident or 0]
            while frame is not None and frame.f_code.co_filename != FILE:
                frame = frame.f_back
            if frame is not None:
                lines[frame.f_lineno] += 1
        where = place_in_words(lines.most_common(1)[0][0]) if lines else ""
        return Loop(lines.total() / max(1, looks), where)

    def terminate(self) -> None:
        """Send SIGTERM to the main thread, as the system would, and look whether the server hears of it."""
        self.asked = clock.now()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
        while not self.server.should_exit and clock.now() < self.asked + HEARS:
            clock.sleep(0.005)
        self.tell(bool(self.server.should_exit))
        while any(one.ended is None for one in self.streams) and clock.now() < self.asked + GRACE / 2:
            clock.sleep(0.005)
        if any(one.ended is None for one in self.streams):
            self.why, self.where = self.why_not_yet(), self.where_one_waits()

    def why_not_yet(self) -> str:
        """What keeps streams from their end, in a word: how far the news of the signal came."""
        if getattr(signal.getsignal(signal.SIGTERM), "__self__", None) is self.server:
            when = [ran for number, ran in self.handled if number == signal.SIGTERM]
            return "early" if when == [False] else "other" if self.handled and not when else ""
        named = [one for one in self.server.lifespan.state.values() if isinstance(one, _Event)]
        if any(one.is_set() for one in named or _Event.made):
            return "asleep"
        if any(one.was_set for one in named or _Event.made):
            return "cleared"
        if any(one.was_set for one in _Event.made):
            return "another"
        return "unset" if _Event.made else "deaf"

    def where_one_waits(self) -> str:
        return next(filter(None, map(where_it_waits, asyncio.all_tasks(self.loop))), "")

    def report(self) -> Stopped:
        now = clock.now()
        byes = [one.bye - self.asked for one in self.streams if one.bye is not None]
        ended = max((one.ended or now for one in self.streams), default=now)
        if not self.why and not any(one.was_set for one in _Event.made):
            self.why = "unheard"
        return Stopped(byes, ended - self.asked, now - self.asked, self.why, self.where)


def _main(pipe: Connection, source: str, exercise: str) -> None:
    clock.stand_still_with_the_machine()
    # Forked in the middle of a coroutine: this process has no running loop, whatever the copy of the thread says.
    asyncio._set_running_loop(None)
    import uvicorn

    logging.disable(logging.CRITICAL)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    inside = _Inside(pipe)
    try:
        inside.note()
        source = re.sub(r"^EVERY = 5\.0", f"EVERY = {EVERY}", source, flags=re.MULTILINE)
        inside.cell = load_cell(source, find_exercise(exercise))
        inside.app = as_asgi(inside.cell.app)
    except BaseException as error:
        inside.tell(("", f"{type(error).__name__}: {error}"))
        return
    config = uvicorn.Config(
        inside,
        host="127.0.0.1",
        port=0,
        loop="asyncio",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=GRACE,
    )
    server = inside.server = uvicorn.Server(config)
    startup, shutdown = server.startup, server.shutdown

    async def startup_then_say_so(sockets: Any = None) -> None:
        await startup(sockets)
        if server.started:
            port = server.servers[0].sockets[0].getsockname()[1]
            threading.Thread(target=inside.converse, name="converse", daemon=True).start()
            inside.tell((f"http://127.0.0.1:{port}", ""))

    async def shutdown_then_say_how(sockets: Any = None) -> None:
        await shutdown(sockets)
        inside.tell(inside.report())

    server.startup = startup_then_say_so  # type: ignore[method-assign]
    server.shutdown = shutdown_then_say_how  # type: ignore[method-assign]
    with contextlib.suppress(BaseException):
        server.run()
    if not server.started:
        inside.tell(("", "its lifespan raised " + inside.failed[0] if inside.failed else "the process ended"))
