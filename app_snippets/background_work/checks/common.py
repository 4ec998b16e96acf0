"""What the exercises of "Background work" are judged with."""

import ast
import asyncio
import contextlib
import itertools
import logging
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx

from workbench.load import Call
from workbench.record import MARK
from workbench.server import LiveServer

_numbers = itertools.count(1)


async def posted(server: LiveServer, path: str, *, timeout: float = 5.0) -> Call:
    """One POST, with the server's view of it. A call that fails has `status` None and says why in `error`."""
    mark = f"post-{next(_numbers)}-"
    async with server.client(timeout=timeout) as client:
        call = Call(0, path, time.perf_counter())
        try:
            response = await client.post(path, headers={MARK.decode(): mark})
            call.status, call.body = response.status_code, response.content
        except httpx.HTTPError as error:
            call.error = f"{type(error).__name__}: {error}".rstrip(": ")
        call.end = time.perf_counter()
    call.request = next(iter(server.record.marked(mark)), None)
    return call


async def until(condition: Callable[[], Any], within: float) -> bool:
    """Wait until the condition holds, `within` seconds at most. Returns whether it does."""
    deadline = time.perf_counter() + within
    while not condition():
        if time.perf_counter() > deadline:
            return False
        await asyncio.sleep(0.005)
    return True


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


def nodes(source: str) -> list[ast.AST]:
    """All nodes of the cell: only to choose the words of a diagnosis."""
    return list(ast.walk(ast.parse(source)))


def calls(tree: list[ast.AST] | ast.AST, name: str) -> list[ast.Call]:
    """The calls of a function or method of that name."""
    found = tree if isinstance(tree, list) else list(ast.walk(tree))
    return [one for one in found if isinstance(one, ast.Call) and ast.unparse(one.func).split(".")[-1] == name]
