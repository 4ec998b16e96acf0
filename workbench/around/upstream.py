"""A slow service on the network for an app to call: a real server that logs what it saw.

>>> services = upstream({"/user": Reply(0.1, {"name": "Ada"}), "/orders": Reply(0.2, [1, 2])})
>>> services.url, services.peak, services.finished, services.abandoned
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from workbench.clock import until
from workbench.server.live import LiveServer, serve


@dataclass(frozen=True)
class Reply:
    """What a path answers with, `seconds` after it was asked: a JSON body and a status.

    ready: what must hold besides, before it answers. It does so without after `patience` seconds more.
    whole: False for an answer that breaks off, which httpx tells as a RemoteProtocolError.
    """

    seconds: float
    body: Any = None
    status: int = 200
    ready: Callable[[], object] = lambda: True
    patience: float = 3.0
    whole: bool = True


@dataclass
class Upstream:
    """A running service. Its lists hold paths, in the order in which it happened.

    asked: every request. finished: answered in full, and for a POST, done. abandoned: the caller left first,
    and the work was dropped. peak: the most requests that were in flight at once.
    """

    replies: dict[str, Reply]
    asked: list[str] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)
    abandoned: list[str] = field(default_factory=list)
    peak: int = 0
    in_flight: int = 0
    server: LiveServer = field(init=False, repr=False)

    @property
    def url(self) -> str:
        """The service's address, "http://127.0.0.1:port"."""
        return self.server.url

    def forget(self) -> None:
        """Empty the log."""
        self.asked.clear()
        self.finished.clear()
        self.abandoned.clear()
        self.peak = self.in_flight

    async def settled(self) -> None:
        """Wait until it has noticed what became of each request, 3 seconds at most."""
        await until(lambda: not self.in_flight, 3.0)

    def stop(self) -> None:
        """Stop the server."""
        self.server.stop()

    def __enter__(self) -> "Upstream":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def answer(self, request: Request) -> Response:
        """Wait as long as the reply takes, or until the caller leaves."""
        path = request.url.path
        reply = self.replies.get(path) or self.replies.get(path.rpartition("/")[0] + "/*")
        self.asked.append(path)
        if reply is None:
            return JSONResponse({"detail": f"no such thing here: {path}"}, 404)
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        leaving = asyncio.create_task(_until_it_leaves(request))
        try:
            await asyncio.wait({leaving}, timeout=reply.seconds)
            await until(lambda: leaving.done() or reply.ready(), reply.patience)
            (self.abandoned if leaving.done() else self.finished).append(path)
        finally:
            self.in_flight -= 1
            leaving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await leaving
        if not reply.whole:
            return Response("half", reply.status, {"content-length": "8"})
        body = reply.body
        if path not in self.replies:  # a family of paths: say which one it is
            body = {"id": path.rpartition("/")[2]} | (body or {})
        return JSONResponse(body, reply.status)


async def _until_it_leaves(request: Request) -> None:
    await request.body()
    while (await request.receive())["type"] != "http.disconnect":
        pass


def upstream(replies: Mapping[str, Reply], *, name: str = "upstream") -> Upstream:
    """Serve `replies` by path, for GET and POST alike. "/items/*" stands for "/items/1" and all its siblings.

    name: as of `serve`: a second upstream under the same name replaces the first.
    """
    made = Upstream(dict(replies))
    app = FastAPI(openapi_url=None)
    app.add_route("/{path:path}", made.answer, methods=["GET", "POST"])
    made.server = serve(app, name=name)
    return made
