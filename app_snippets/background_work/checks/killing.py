"""An answer's app in a process of its own, which ends itself with SIGKILL at a chosen point of its work."""

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
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

BEFORE_COMMIT, AFTER_COMMIT, LATER = "before the commit", "after the commit", "later"

_WRITES = re.compile(r"\s*(INSERT|REPLACE|UPDATE|DELETE)\b", re.IGNORECASE)
_INSERTS = re.compile(r"\s*(INSERT|REPLACE)\b", re.IGNORECASE)
_COMMITS = re.compile(r"\s*(COMMIT|END)\b", re.IGNORECASE)


@dataclass
class Victim:
    """A process that waits for an answer to serve. `url` once it serves, `said` where it could not."""

    process: BaseProcess
    pipe: Connection
    url: str = ""
    said: str = ""

    async def serve(self, source: str, exercise: str, environment: dict[str, str], point: str) -> bool:
        """Let it serve the answer, and end itself at `point`. Returns whether it serves."""
        self.pipe.send((source, exercise, environment, point))
        if not await asyncio.to_thread(self.pipe.poll, 6):
            self.said = "it did not start in time"
            return False
        with contextlib.suppress(EOFError):
            self.url, self.said = self.pipe.recv()
        return bool(self.url)

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
            process = context.Process(target=_main, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            made.append(Victim(process, ours))
    try:
        yield made
    finally:
        for victim in made:
            victim.kill()
            victim.pipe.close()


def _main(pipe: Connection) -> None:
    # Forked in the middle of a coroutine: this process has no running loop, whatever the copy of the thread says.
    asyncio._set_running_loop(None)
    from workbench.answer import load_cell
    from workbench.judging import find_exercise
    from workbench.server import serve

    source, name, environment, point = pipe.recv()
    os.environ.update(environment)
    _die_at(point)
    try:
        module = load_cell(source, find_exercise(name))
        server = serve(module.app, name="victim", start_timeout=5)
    except BaseException as error:
        pipe.send(("", f"{type(error).__name__}: {error}"))
        return
    pipe.send((server.url, ""))
    threading.Event().wait()


def _die_at(point: str) -> None:
    """Watch every statement that SQLite begins, and end this process at the point."""
    if point == LATER:
        return
    connect = sqlite3.connect
    durable = 0  # transactions that have been committed

    def watched(*args: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*args, **options)

        def note(statement: str) -> None:
            nonlocal durable
            inserts = bool(_INSERTS.match(statement))
            writes, commits = bool(_WRITES.match(statement)), bool(_COMMITS.match(statement))
            if not (writes or commits) or "sqlite_" in statement:
                return
            if (point == BEFORE_COMMIT and commits) or (point == AFTER_COMMIT and durable and inserts):
                os.kill(os.getpid(), signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
            durable += commits or not connection.in_transaction

        connection.set_trace_callback(note)
        return connection

    sqlite3.connect = watched  # type: ignore[assignment]
    sqlite3.dbapi2.connect = watched  # type: ignore[attr-defined]
