"""What the exercises of "Shared state and cancellation" are judged with."""

import ast
import asyncio
import contextlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from workbench.around import Reply, Upstream
from workbench.clock import until
from workbench.judge import FILE, place_in_words
from workbench.server import LiveServer, serve

MOST = 3.0  # seconds that an event is waited for


@dataclass(frozen=True)
class Kept(Reply):
    """A reply that comes when its seconds have passed and `ready()` holds as well."""

    ready: Callable[[], object] = lambda: True


class Service(Upstream):
    """An upstream whose replies may wait for an event."""

    async def answer(self, request: Request) -> JSONResponse:
        path = request.url.path
        reply = self.replies[path]
        ready = reply.ready if isinstance(reply, Kept) else lambda: True
        self.asked.append(path)
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        leaving = asyncio.create_task(_until_it_leaves(request))
        try:
            await asyncio.wait({leaving}, timeout=reply.seconds)
            await until(lambda: leaving.done() or ready(), MOST)
            (self.abandoned if leaving.done() else self.finished).append(path)
        finally:
            self.in_flight -= 1
            leaving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await leaving
        return JSONResponse(reply.body, reply.status)

    async def settled(self) -> None:
        """Wait until it has noticed what became of each request."""
        await until(lambda: not self.in_flight, MOST)


async def _until_it_leaves(request: Request) -> None:
    await request.body()
    while (await request.receive())["type"] != "http.disconnect":
        pass


def service(replies: Mapping[str, Reply]) -> Service:
    """Serve `replies` by path."""
    made = Service(dict(replies))
    app = FastAPI(openapi_url=None)
    for path in replies:
        app.add_route(path, made.answer, methods=["GET", "POST"])
    made.server = serve(app, name="services")
    return made


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
