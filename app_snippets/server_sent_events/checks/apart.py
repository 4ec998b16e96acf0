"""An answer's app under uvicorn, in a process of its own whose main thread it has, to be sent signals."""

import asyncio
import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from workbench import clock
from workbench.waiting import until

GRACE = 2  # seconds that uvicorn gives open requests when it is asked to stop


@dataclass
class Apart:
    """A process that serves. `url` once it does, `said` where it could not."""

    process: BaseProcess
    pipe: Connection
    url: str = ""
    said: str = ""

    async def started(self) -> bool:
        """Wait until it serves. Returns whether it does."""
        if not await asyncio.to_thread(self.pipe.poll, 6):
            self.said = "it did not start in time: its lifespan has not reached `yield`"
            return False
        with contextlib.suppress(EOFError):
            self.url, self.said = self.pipe.recv()
        return bool(self.url)

    async def terminated(self, timeout: float) -> float | None:
        """Send SIGTERM. Returns the seconds until the process ended, None where it did not."""
        begun = clock.now()
        assert self.process.pid is not None
        os.kill(self.process.pid, signal.SIGTERM)
        ended = await until(lambda: self.process.exitcode is not None, timeout)
        return clock.now() - begun if ended else None


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


def _main(pipe: Connection, source: str, exercise: str) -> None:
    clock.stand_still_with_the_machine()
    # Forked in the middle of a coroutine: this process has no running loop, whatever the copy of the thread says.
    asyncio._set_running_loop(None)
    import uvicorn

    from workbench.answer import load_cell
    from workbench.asgi import as_asgi
    from workbench.judging import find_exercise

    logging.disable(logging.CRITICAL)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    failed: list[str] = []
    try:
        app = as_asgi(load_cell(source, find_exercise(exercise)).app)
    except BaseException as error:
        pipe.send(("", f"{type(error).__name__}: {error}"))
        return

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        try:
            await app(scope, receive, send)
        except BaseException as error:
            failed.append(f"{type(error).__name__}: {error}")
            raise

    config = uvicorn.Config(
        watched,
        host="127.0.0.1",
        port=0,
        loop="asyncio",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=GRACE,
    )
    server = uvicorn.Server(config)
    startup = server.startup

    async def startup_then_say_so(sockets: Any = None) -> None:
        await startup(sockets)
        if server.started:
            port = server.servers[0].sockets[0].getsockname()[1]
            pipe.send((f"http://127.0.0.1:{port}", ""))

    server.startup = startup_then_say_so  # type: ignore[method-assign]
    with contextlib.suppress(BaseException):
        server.run()
    if not server.started:
        pipe.send(("", "its lifespan raised " + failed[0] if failed else "the process ended"))
