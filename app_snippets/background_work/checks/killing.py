"""What an answer does in SQLite; and its app in a process of its own, which SIGKILLs itself at a chosen point."""

import asyncio
import contextlib
import multiprocessing
import os
import re
import signal
import sqlite3
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any
from unittest.mock import patch

from workbench.clock import until
from workbench.judge import frames_of_the_cell

BEFORE_COMMIT, AFTER_COMMIT, LATER = "before the commit", "after the commit", "later"

STARTS = 6.0  # seconds of the judging process, of which little passes while the others use the core that they share

_INSERTS = re.compile(r"\s*(INSERT|REPLACE)\b.*\b(users|outbox)\b", re.IGNORECASE | re.DOTALL)
_LOOKS = re.compile(r"\s*(SELECT|WITH)\b.*\boutbox\b", re.IGNORECASE | re.DOTALL)
_COMMITS = re.compile(r"\s*(COMMIT|END)\b", re.IGNORECASE)
_ENDS = re.compile(r"\s*(COMMIT|END|ROLLBACK)\b", re.IGNORECASE)


@dataclass
class Victim:
    """A process that waits for an answer to serve. `url` once it serves, `said` where it could not."""

    process: BaseProcess
    pipe: Connection
    counter: Any  # of its looks into the outbox, in memory that it shares with this process
    url: str = ""
    said: str = ""

    async def serve(self, source: str, exercise: str, environment: dict[str, str], point: str) -> bool:
        """Let it serve the answer, and end itself at `point`. Returns whether it serves."""
        self.pipe.send((source, exercise, environment, point))
        if not await until(self.pipe.poll, STARTS):
            self.said = "it did not start in time"
            return False
        with contextlib.suppress(EOFError):
            self.url, self.said = self.pipe.recv()
        return bool(self.url)

    @property
    def looks(self) -> int:
        """How often it has looked into the outbox."""
        return int(self.counter.value)

    def kill(self) -> None:
        """kill -9. Twice is fine."""
        self.process.kill()
        self.process.join(2)


@contextlib.contextmanager
def victims(number: int) -> Iterator[list[Victim]]:
    """Processes that wait. Made at once, while this one has no servers: then a fork copies nobody's locks."""
    method = "fork" if sys.platform == "linux" else "spawn"
    context: Any = multiprocessing.get_context(method)
    made = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside a thread: ours only sleeps
        for _ in range(number):
            ours, theirs = context.Pipe()
            counter = context.Value("i", 0, lock=False)
            process = context.Process(target=_main, args=(theirs, counter), daemon=True)
            process.start()
            theirs.close()
            made.append(Victim(process, ours, counter))
    try:
        yield made
    finally:
        for victim in made:
            victim.kill()
            victim.pipe.close()


def _main(pipe: Connection, counter: Any) -> None:
    # Forked in the middle of a coroutine: this process has no running loop, whatever the copy of the thread says.
    asyncio._set_running_loop(None)
    from workbench.judge import find_exercise, load_cell
    from workbench.server import serve

    source, name, environment, point = pipe.recv()
    os.environ.update(environment)
    durable = 0  # transactions that have inserted something, and were committed

    def watch(connection: sqlite3.Connection) -> Callable[[str], None]:
        inserted = False  # in the transaction of the moment

        def note(statement: str) -> None:
            nonlocal durable, inserted
            counter.value += bool(_LOOKS.match(statement))
            inserts, commits = bool(_INSERTS.match(statement)), inserted and bool(_COMMITS.match(statement))
            if (point == BEFORE_COMMIT and commits) or (point == AFTER_COMMIT and durable and inserts):
                os.kill(os.getpid(), signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
            durable += commits or (inserts and not connection.in_transaction)
            inserted = (inserted or inserts) and not _ENDS.match(statement)

        return note

    with _watching(watch):
        try:
            module = load_cell(source, find_exercise(name))
            server = serve(module.app, name="victim", start_timeout=10 * STARTS)
        except BaseException as error:
            pipe.send(("", f"{type(error).__name__}: {error}"))
            return
        pipe.send((server.url, ""))
        threading.Event().wait()


@dataclass
class Looks:
    """What something in this process asks of its database."""

    number: int = 0  # looks into the outbox
    inserted: bool = False  # a row into the outbox
    lines: dict[int, int] = field(default_factory=dict)  # by thread: the line of the cell that asked for something


@contextlib.contextmanager
def counting_looks() -> Iterator[Looks]:
    """Note the statements of connections that are made in the block."""
    looks = Looks()

    def note(statement: str) -> None:
        looks.number += bool(_LOOKS.match(statement))
        looks.inserted |= bool(_INSERTS.match(statement)) and "outbox" in statement.lower()
        for frame in frames_of_the_cell(threading.get_ident())[:1]:
            looks.lines[threading.get_ident()] = frame.f_lineno

    with _watching(lambda _: note):
        yield looks


@contextlib.contextmanager
def _watching(watch: Callable[[sqlite3.Connection], Callable[[str], None]]) -> Iterator[None]:
    """Give each new connection what `watch` makes for it, to be called with every statement that it begins."""
    connect: Callable[..., sqlite3.Connection] = sqlite3.connect

    def watched(*args: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*args, **options)
        connection.set_trace_callback(watch(connection))
        return connection

    with patch.object(sqlite3, "connect", watched), patch.object(sqlite3.dbapi2, "connect", watched):
        yield
