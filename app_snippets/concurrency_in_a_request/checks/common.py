"""What the exercises of "Concurrency in a request" are judged with."""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from fastapi import FastAPI, Request, Response

from workbench.around import Call, Reply, Upstream, ask
from workbench.clock import until
from workbench.server import LiveServer, serve

AT_MOST = 2.0  # seconds for what comes at once or not at all
TURNS = 40  # of a loop, in which it has done all that it can do without waiting; it needs about ten


@dataclass
class Services(Upstream):
    """An upstream that replies to nobody before all `together` have been asked. Only then a Reply's time begins.

    So calls that are made side by side are all there when the first reply goes out, however long it takes to make
    them. Where one does not come within `patience` seconds, its siblings get their reply without it, and `apart` says
    so. `closed` keeps all replies back.
    """

    patience: float = 0.0
    together: set[str] = field(default_factory=set)
    came: set[str] = field(default_factory=set)
    apart: bool = False
    closed: bool = False

    def expect(self, paths: set[str]) -> None:
        """Empty the log, for one request that asks for these paths."""
        self.forget()
        self.together, self.came, self.apart = paths, set(), False

    async def answer(self, request: Request) -> Response:
        """Wait for the siblings, and then as long as the reply takes, or until the caller leaves."""
        self.came.add(request.url.path)
        if not await until(lambda: self.together <= self.came, self.patience):
            self.apart = True
        await until(lambda: not self.closed, AT_MOST)
        return await super().answer(request)


@contextlib.contextmanager
def some_services(patience: float) -> Iterator[Services]:
    """Serve them for the length of the block."""
    made = Services({}, patience=patience)
    app = FastAPI(openapi_url=None)
    app.add_route("/{path:path}", made.answer, methods=["GET"])
    with serve(app, name="services") as made.server:
        yield made


async def called(server: LiveServer, services: Services, path: str, replies: dict[str, Reply]) -> Call:
    """One call while the services answer with `replies`, on a log of its own."""
    services.replies.update(replies)
    services.expect(set(replies))
    return await ask(server, path, timeout=AT_MOST)


async def ended(services: Services, paths: set[str]) -> None:
    """Wait until the requests for these paths have ended: each is in `finished` or in `abandoned` then."""
    await until(lambda: paths <= {*services.finished, *services.abandoned}, AT_MOST)


async def at_rest(server: LiveServer, services: Services, path: str) -> bool:
    """Wait until the reply for a path has gone out, and the server has done about it what needs no other event."""
    replied = await until(lambda: path in services.finished, AT_MOST)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(AT_MOST):
            for loop in [services.server.loop, server.loop] * TURNS:
                if loop is not None:
                    await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop))
    return replied
