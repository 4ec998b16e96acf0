"""What the exercises of "Shared state and cancellation" are judged with."""

import ast
import asyncio
import itertools
import sys
import time
from collections.abc import Callable

import httpx

from workbench.answer import FILE, place_in_words
from workbench.load import Call
from workbench.record import MARK
from workbench.server import LiveServer

_numbers = itertools.count(1)


async def call(client: httpx.AsyncClient, server: LiveServer, method: str, path: str) -> Call:
    """One call, with the server's view of it. A call that fails has `status` None and says why in `error`."""
    mark = f"call-{next(_numbers)}-"
    made = Call(0, path, time.perf_counter())
    try:
        response = await client.request(method, path, headers={MARK.decode(): mark})
        made.status, made.body, made.headers = response.status_code, response.content, dict(response.headers)
    except httpx.HTTPError as error:
        made.error = f"{type(error).__name__}: {error}".rstrip(": ")
    made.end = time.perf_counter()
    made.request = next(iter(server.record.marked(mark)), None)
    return made


async def until(condition: Callable[[], object], within: float) -> bool:
    """Wait until the condition holds, `within` seconds at most. Returns whether it does."""
    deadline = time.perf_counter() + within
    while not condition():
        if time.perf_counter() > deadline:
            return False
        await asyncio.sleep(0.005)
    return True


def line_of_the_loop(server: LiveServer) -> str:
    """The line of the cell in which the server's own thread is right now, in words, "" where it is in none."""
    frame = sys._current_frames().get(server.thread.ident or 0)
    while frame is not None and frame.f_code.co_filename != FILE:
        frame = frame.f_back
    return place_in_words(frame.f_lineno) if frame else ""


def functions(source: str) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All functions of the cell: only to choose the words of a diagnosis."""
    tree = ast.parse(source)
    return [one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]


def calls(tree: ast.AST, name: str) -> list[ast.Call]:
    """The calls of a function or method of that name."""
    found = [one for one in ast.walk(tree) if isinstance(one, ast.Call)]
    return [one for one in found if ast.unparse(one.func).rpartition(".")[2] == name]
