"""What the exercises of "Background work" are judged with."""

import asyncio
import contextlib
import gc
import logging
import re
import socket
import sys
import threading
import weakref
from collections.abc import Iterator
from typing import Any

from workbench.around import Call, ask
from workbench.judge import FILE, frames_of_the_cell
from workbench.server import LiveServer


async def posted(server: LiveServer, path: str, *, timeout: float = 5.0) -> Call:
    """One POST, with the server's view of it. A call that fails has `status` None and says why in `error`."""
    return await ask(server, path, method="POST", timeout=timeout)


def at_work(server: LiveServer) -> set[Any]:
    """The tasks of the server's loop that are not done, and the threads that run the answer's code."""
    tasks = asyncio.all_tasks(server.loop) if server.loop else set()
    return tasks | {thread for thread in threading.enumerate() if frames_of_the_cell(thread.ident)}


@contextlib.contextmanager
def in_nobodys_hands(server: LiveServer) -> Iterator[list[str]]:
    """The coroutines of the cell whose tasks nobody but the loop knows of when they begin, in the block."""
    found: list[str] = []
    loop = server.loop
    assert loop is not None

    def look(made: "list[weakref.ref[asyncio.Task[Any]]]", name: str) -> None:
        task = made[0]() if made else None
        if task is not None and all(type(one).__name__ in _OF_THE_LOOP for one in gc.get_referrers(task)):
            found.append(name)

    def make(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> "asyncio.Task[Any]":
        made: list[weakref.ref[asyncio.Task[Any]]] = []
        code = getattr(coroutine, "cr_code", None)
        if code is not None and code.co_filename == FILE:  # look before its first step: whoever keeps it does by then
            loop.call_soon(look, made, code.co_name)
        task = asyncio.Task(coroutine, loop=loop, **options)
        made.append(weakref.ref(task))
        return task

    loop.call_soon_threadsafe(loop.set_task_factory, make)
    try:
        yield found
    finally:
        loop.call_soon_threadsafe(loop.set_task_factory, None)


# What the loop refers to a task with: its next step, and what wakes it up.
_OF_THE_LOOP = ("TaskStepMethWrapper", "builtin_function_or_method")


@contextlib.contextmanager
def all_logged(server: LiveServer) -> Iterator[None]:
    """Have every log line in the server's logs, also where the answer configures logging by itself."""
    handler = _Into(server)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)


class _Into(logging.Handler):
    def __init__(self, server: LiveServer) -> None:
        super().__init__()
        self._logs = server.logs
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self._logs.append(self.format(record))


def printed() -> str:
    """What the answer has printed so far, warnings included."""
    get = getattr(sys.stdout, "getvalue", None)
    return str(get()) if get else ""


def errors_in(server: LiveServer) -> str:
    """All log lines of level WARNING and above, with their tracebacks."""
    return "\n".join(line for line in list(server.logs) if line.startswith(("WARNING", "ERROR", "CRITICAL")))


_PLACE = re.compile(r'  File ".*", line \d+, in (.+)')
_BAR = re.compile(r" *\| ?")  # before each line of an exception in a group


def told_by(lines: list[str]) -> str:
    """What log lines say by themselves: of a traceback the functions and the exceptions, and no source line.

    Python quotes whole statements there from 3.13 on, and they name much that did not fail.
    """
    told, quoting = [], False
    for line in "\n".join(lines).splitlines():
        bare = _BAR.sub("", line, count=1) if _BAR.match(line) else line
        if place := _PLACE.match(bare):
            told.append(place[1])
            quoting = True
        elif not (quoting and bare.startswith(" " * 4)):
            told.append(bare)
            quoting = False
    return "\n".join(told)


@contextlib.contextmanager
def port_of_nobody() -> Iterator[int]:
    """A port of this machine at which every connection is refused."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
