"""A real uvicorn server in a background thread of this process.

>>> server = serve(app)          # raises ServeError here when the app does not start
>>> async with server.client() as client:
...     await client.get("/")
>>> server.stop()
"""

import asyncio
import contextlib
import functools
import gc
import importlib
import os
import socket
import sys
import threading
import warnings
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

import httpx
import uvicorn

from workbench import clock
from workbench.server import logs
from workbench.server.asgi import ServeError, as_asgi, with_pages
from workbench.server.prompt_server import PromptServer
from workbench.server.record import ASGIApp, Message, Receive, Record, Scope, Send, recorded
from workbench.server.threads import join_all, let_end_quietly, raise_in

# AnyIO imports this at the first `def` endpoint otherwise, which would hold a loop that we watch.
importlib.import_module("anyio._backends._asyncio")

HOST = "127.0.0.1"
LOG_LINES = 1_000  # kept per server


class ServerGivenUp(RuntimeWarning):
    """A server did not end: something in it never gives its thread back."""


class HandlerEnded(BaseException):
    """Raised inside a handler that never returns, to end it. No `except Exception` catches it."""


class LiveServer:
    """A running server. Made by `serve`; `stop()` or the end of a `with` block ends it.

    Attributes: `url` ("http://127.0.0.1:port"), `ws_url`, `port`, `record` (what the server saw),
    `logs` (its log lines, never printed), `lost` (exceptions of tasks that nobody awaited), `patience` (seconds
    that its clients wait for an answer).
    """

    def __init__(self, app: Any, *, name: str, port: int, grace: float, debug: bool) -> None:
        self.name = name
        self.grace = grace
        self.patience = 10.0
        self.record = Record()
        self.logs: deque[str] = deque(maxlen=LOG_LINES)
        self.lost: list[BaseException] = []
        self.given_up = False
        self.crash: BaseException | None = None
        self._lifespan_error: BaseException | None = None
        self._debug = debug
        self._config = uvicorn.Config(
            recorded(self._watching_lifespan(with_pages(app)), self.record),
            host=HOST,
            port=port,
            loop="asyncio" if debug or clock.stands_still() else "auto",
            log_config=None,
            access_log=False,
            lifespan="auto",
            timeout_graceful_shutdown=grace,  # type: ignore[arg-type]  # any number of seconds will do
            timeout_keep_alive=75,
            interface="asgi3",
        )
        self._uvicorn: PromptServer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main_task: asyncio.Task[None] | None = None
        self._executor = ThreadPoolExecutor(thread_name_prefix="asyncio")
        self._settled = threading.Event()  # started, or failed to
        self._thread = threading.Thread(target=self._run, name=f"server {name!r}", daemon=True)
        self.port = port

    # what the reader uses

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def errors(self) -> list[str]:
        """The entries of the log that are errors, each with its traceback."""
        return [line for line in list(self.logs) if line.startswith("ERROR")]

    @property
    def ws_url(self) -> str:
        return f"ws://{HOST}:{self.port}"

    @property
    def alive(self) -> bool:
        """True while the server's thread runs."""
        return self._thread.is_alive()

    @property
    def started(self) -> bool:
        """Whether its app has started, and it takes requests."""
        return self._uvicorn is not None and self._uvicorn.started

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The server's own event loop, to look at. Nothing of the notebook's loop may be used in it."""
        return self._loop

    @property
    def thread(self) -> threading.Thread:
        """The thread that the server's event loop runs in."""
        return self._thread

    def client(self, **options: Any) -> httpx.AsyncClient:
        """A new `httpx.AsyncClient` for this server; `options` are httpx's own. Close it: `async with`."""
        defaults: dict[str, Any] = {
            "base_url": self.url,
            "trust_env": False,  # a proxy from the environment must not get between us and loopback
            "verify": False,  # no TLS on loopback, so do not pay for loading certificates
            "timeout": self.patience,
        }
        return httpx.AsyncClient(**(defaults | options))

    def stop(self) -> None:
        """Stop the server: let requests finish within the grace period, then cancel them.

        Returns after at most `grace` and about two seconds more. A handler that never returns is ended
        where Python allows it, and otherwise given up with a `ServerGivenUp` warning. Twice is fine.
        """
        if _running.get(self.name) is self:
            del _running[self.name]
        if not self._thread.is_alive() or self.given_up:
            return
        if self._loop is not None and self._uvicorn is not None:
            with contextlib.suppress(RuntimeError):  # the loop closed in this moment
                self._loop.call_soon_threadsafe(self._stop_soon)
        join_all([self._thread], self.grace + 0.5)
        join_all(self._threads(), 0.3)  # idle worker threads end by themselves
        deadline = clock.now() + 1.5
        while (left := self._threads()) and clock.now() < deadline:
            for thread in left:
                raise_in(thread, HandlerEnded)
            join_all(left, 0.2)
        if left:
            self.given_up = True
            warnings.warn(
                f"The server {self.name!r} was given up: a handler holds its thread in a call that Python "
                "cannot end from outside, such as a long time.sleep(). The thread ends when that call does.",
                ServerGivenUp,
                stacklevel=2,
            )

    def __enter__(self) -> "LiveServer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<LiveServer {self.name!r} at {self.url}, {'running' if self.alive else 'stopped'}>"

    # its thread

    def start(self, timeout: float) -> None:
        """Start the thread and wait until the app has started. Raises ServeError with the cause."""
        self._thread.start()
        try:
            settled = self._settles(timeout)
        except BaseException:
            self.stop()
            raise
        if not settled:
            self.stop()
            raise ServeError(f"The app did not start within {timeout:g} seconds: its lifespan has not reached `yield`.")
        if not self.started:
            self._thread.join()
            cause = self._lifespan_error or self.crash
            if isinstance(cause, SystemExit) and self._lifespan_error is None:
                raise ServeError("The app did not start. The server said: " + " | ".join(self.logs)) from cause
            said = f"{type(cause).__name__}: {cause}".rstrip(": ")
            raise ServeError(f"The app did not start: its lifespan raised {said}") from cause
        assert self._uvicorn is not None
        self.port = self._uvicorn.servers[0].sockets[0].getsockname()[1]

    def _settles(self, timeout: float) -> bool:
        deadline = clock.now() + timeout
        while not self._settled.wait(min(0.05, timeout)):
            if clock.now() > deadline:
                return False
        return True

    def _watching_lifespan(self, app: ASGIApp) -> ASGIApp:
        async def wrapper(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "lifespan":
                await app(scope, receive, send)
                return
            asked = False

            async def noting_receive() -> Message:
                nonlocal asked
                asked = True
                return await receive()

            try:
                await app(scope, noting_receive, send)
            except BaseException as error:
                # An app that never asks for the event does not speak the lifespan protocol, which is allowed.
                if asked:
                    self._lifespan_error = error
                raise

        return wrapper

    def _run(self) -> None:
        logs.current_logs.set(self.logs)
        factory = self._config.get_loop_factory() or asyncio.new_event_loop
        self._loop = loop = factory()
        loop.set_debug(self._debug)
        loop.set_default_executor(self._executor)
        loop.set_exception_handler(self._note_lost)
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(self._main())
        except BaseException as error:
            self.crash = error
        finally:
            try:
                self._close(loop)
            except BaseException as error:
                self.crash = self.crash or error
            asyncio.set_event_loop(None)
            self._settled.set()

    def _stop_soon(self) -> None:
        assert self._uvicorn is not None
        assert self._main_task is not None
        if self._uvicorn.started:
            self._uvicorn.stop_soon()
        else:  # it waits for a lifespan that may never come to its `yield`
            self._main_task.cancel()

    async def _main(self) -> None:
        self._main_task = asyncio.current_task()
        self._uvicorn = PromptServer(self._config)
        startup = self._uvicorn.startup

        async def startup_then_say_so(sockets: list[socket.socket] | None = None) -> None:
            await startup(sockets)
            self._settled.set()

        self._uvicorn.startup = startup_then_say_so  # type: ignore[method-assign]
        probe = asyncio.create_task(self.record.probe(), name="loop lag probe")
        try:
            await self._uvicorn.serve()
        finally:
            probe.cancel()

    def _close(self, loop: asyncio.AbstractEventLoop) -> None:
        """What `asyncio.Runner.close` does, with a limit to each wait."""

        async def cancel_all() -> None:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            if tasks:
                _, pending = await asyncio.wait(tasks, timeout=self.grace)
                for task in pending:
                    task._log_destroy_pending = False  # type: ignore[attr-defined]  # given up, and said so
            await loop.shutdown_asyncgens()

        try:
            loop.run_until_complete(cancel_all())
        finally:
            self._executor.shutdown(wait=False, cancel_futures=True)
            join_all(self._executor._threads, self.grace)
            loop.close()

    def _note_lost(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if "never retrieved" in context["message"] and error is not None:
            self.lost.append(error)
        loop.default_exception_handler(context)

    def _threads(self) -> list[threading.Thread]:
        """The live threads of this server: its own, AnyIO's for `def` endpoints, and those of `to_thread`."""
        anyio = {thread for thread in threading.enumerate() if getattr(thread, "loop", None) is self._loop}
        threads = {self._thread} | anyio | set(self._executor._threads)
        return [thread for thread in threads if thread.is_alive()]


_running: dict[str, LiveServer] = {}


def running() -> list[LiveServer]:
    """The servers that were started with `serve` and not stopped, one that is still starting among them."""
    return list(_running.values())


def serve(
    app: Any,
    *,
    name: str = "app",
    port: int = 0,
    grace: float = 1.0,
    start_timeout: float = 10.0,
    debug: bool = False,
) -> LiveServer:
    """Serve an ASGI app with uvicorn on 127.0.0.1, in a background thread, and return when it has started.

    app: an ASGI app such as `FastAPI()`, or an import string, "package.module:app".
    name: one server runs under each name. Serving again under it stops the old server first.
    port: 0 takes a free one.
    grace: seconds that requests get to finish when the server stops.
    start_timeout: seconds that the lifespan gets to reach its `yield`.
    debug: run the loop in asyncio's debug mode, which logs every callback that held it for 0.1 s.

    The app's /docs work offline, and its pages below the path of a proxy such as JupyterLab's.

    Raises ServeError, with the cause, when the app cannot be served.
    """
    app = as_asgi(app)
    if (old := _running.get(name)) is not None:
        old.stop()
    _require_free(port)
    _settle_heap()
    _keep_proxies_out()
    logs.install()
    let_end_quietly(HandlerEnded)
    server = LiveServer(app, name=name, port=port, grace=grace, debug=debug)
    _running[name] = server
    try:
        server.start(start_timeout)
    except BaseException:
        _running.pop(name, None)
        raise
    return server


@functools.cache
def _settle_heap() -> None:
    """Once, keep the modules loaded so far out of later garbage collections.

    They stay anyway, and walking through them would cost a server in this process a tenth of its requests.
    """
    gc.freeze()


@functools.cache
def _keep_proxies_out() -> None:
    """Where the machine has an HTTP proxy, keep clients in this process from asking it for loopback."""
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), HOST]))


def _require_free(port: int) -> None:
    if port == 0:
        return
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        if sys.platform != "win32":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            raise ServeError(
                f"Port {port} cannot be used ({error}). Leave `port` out, and a free one is taken."
            ) from error
