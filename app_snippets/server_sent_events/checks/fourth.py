"""The listener of E2 that does not read."""

import asyncio
from typing import Any

from fastapi.sse import ServerSentEvent

from workbench.clock import until
from workbench.judge import Probe
from workbench.server import LiveServer

SLOW = "three listeners that read, a fourth that does not, and more texts"
MOST = 60  # texts, after which a listener that does not read must have been let go
PATIENCE = 1.5  # seconds for what comes without a wait, or never


class Fourth:
    """A listener in the server, which takes an event when told to. No buffer is between, so what waits is known."""

    def __init__(self, server: LiveServer) -> None:
        state = server._uvicorn.lifespan.state if server._uvicorn else {}
        if "hub" not in state:
            raise Probe("to ask your Hub for a stream", "`hub` in what the lifespan yields").saw(
                "no `hub`", "The lifespan yields the Hub, under the name `hub`. Keep it as it was."
            )
        self.loop, self.stream = server.loop, state["hub"].listen()
        self.events: list[Any] = []
        self.ended = False

    def take(self) -> "asyncio.Future[Any]":
        """Ask for the next event, None at the end."""
        return self._run(anext(self.stream, None))

    async def take_all(self, last: str) -> None:
        """Take what there is, up to the text `last`, to the end, or until nothing comes."""
        while True:
            step = self.take()
            if not await until(step.done, PATIENCE):
                step.cancel()
                return
            self.require_sound(step)
            if self.ended or len(self.events) > 2 * MOST or self.texts[-1:] == [last]:
                return

    def require_sound(self, step: "asyncio.Future[Any]") -> None:
        """Keep what a step gave. Raises NotYet where it raised."""
        if not step.done():
            return
        if error := step.exception():
            raise Probe(SLOW, "a stream for each of them").saw(
                f"{type(error).__name__}: {error}", f"listen() raised {type(error).__name__}: {error}. Fix that first."
            )
        self.ended = step.result() is None
        if not self.ended:
            self.events.append(step.result())

    async def leave(self) -> None:
        closing = self._run(self.stream.aclose())
        await until(closing.done, PATIENCE)
        if not closing.cancel():
            closing.exception()

    @property
    def kinds(self) -> list[str]:
        return [getattr(one, "event", None) or "message" for one in self.events]

    @property
    def texts(self) -> list[str]:
        """What it got after the first."""
        plain = [one for one, kind in zip(self.events, self.kinds, strict=True) if kind != "lagging"]
        return [str(data_of(one)) for one in plain][1:]

    @property
    def gap(self) -> bool:
        """Whether texts are missing before one that came."""
        return self.texts != [str(number) for number in range(1, len(self.texts) + 1)]

    def _run(self, step: Any) -> "asyncio.Future[Any]":
        async def run() -> Any:
            return await step

        assert self.loop is not None
        return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(run(), self.loop))


def data_of(event: Any) -> Any:
    """The data of an event, None for one without."""
    if isinstance(event, ServerSentEvent):
        return event.raw_data if event.data is None else event.data
    return event
