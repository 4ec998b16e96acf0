"""serve: starts, restarts, stops; says what went wrong; leaves nothing behind."""

import asyncio
import contextlib
import gc
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import psutil
import pytest
import websockets
from fastapi import APIRouter, FastAPI, WebSocket
from fastapi.responses import StreamingResponse

from workbench.server import LiveServer, ServeError, ServerGivenUp, running, serve


@pytest.fixture(autouse=True)
def _stop_all() -> Any:
    yield
    for server in running():
        server.stop()


def app_with_lifespan(lifespan: Any = None) -> FastAPI:
    app = FastAPI(lifespan=lifespan)

    @app.get("/")
    async def root() -> str:
        return "here"

    return app


def get(server: LiveServer, path: str = "/", **options: Any) -> httpx.Response:
    return httpx.get(server.url + path, trust_env=False, **options)


def test_a_served_app_answers_and_stops() -> None:
    server = serve(app_with_lifespan())
    assert get(server).json() == "here"
    server.stop()
    assert not server.alive
    with pytest.raises(httpx.ConnectError):
        get(server)


def test_serving_again_stops_the_old_one_first() -> None:
    events: list[str] = []

    def lifespan_of(name: str) -> Any:
        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[None]:
            events.append(f"{name} up")
            yield
            events.append(f"{name} down")

        return lifespan

    first = serve(app_with_lifespan(lifespan_of("first")))
    second = serve(app_with_lifespan(lifespan_of("second")))
    assert events == ["first up", "first down", "second up"]
    assert not first.alive
    assert get(second).json() == "here"
    assert running() == [second]


def test_servers_of_other_names_stay() -> None:
    one, two = serve(app_with_lifespan(), name="one"), serve(app_with_lifespan(), name="two")
    assert get(one).status_code == get(two).status_code == 200


def test_stopping_twice_is_fine() -> None:
    server = serve(app_with_lifespan())
    server.stop()
    server.stop()


def test_it_is_a_context_manager() -> None:
    with serve(app_with_lifespan()) as server:
        assert get(server).status_code == 200
    assert not server.alive


def test_a_failing_lifespan_is_raised_with_its_cause() -> None:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        raise ConnectionError("no database")
        yield

    with pytest.raises(ServeError, match="lifespan raised ConnectionError: no database") as caught:
        serve(app_with_lifespan(lifespan))
    assert isinstance(caught.value.__cause__, ConnectionError)
    assert running() == []


def test_a_lifespan_that_exits_is_raised_too() -> None:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        raise SystemExit(7)
        yield

    with pytest.raises(ServeError, match="SystemExit"):
        serve(app_with_lifespan(lifespan))


def test_a_lifespan_that_never_yields_is_given_its_time() -> None:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await asyncio.sleep(600)
        yield

    with pytest.raises(ServeError, match=r"did not start within 0\.3 seconds"):
        serve(app_with_lifespan(lifespan), start_timeout=0.3)


@pytest.mark.parametrize(
    ("thing", "sentence"),
    [
        (3, "of type int"),
        (None, "of type NoneType"),
        (FastAPI, "the class FastAPI"),
        (lambda environ, start_response: [], "called with"),
        ("os:nope", 'Attribute "nope" not found'),
        ("nothing_here:app", 'Could not import module "nothing_here"'),
        ("nonsense", "must be in format"),
    ],
)
def test_what_is_no_app_is_refused_in_a_sentence(thing: object, sentence: str) -> None:
    with pytest.raises(ServeError, match=sentence):
        serve(thing)


def test_a_coroutine_is_refused_and_not_left_unawaited() -> None:
    async def make_app() -> FastAPI:
        return FastAPI()

    with pytest.raises(ServeError, match="lacks an `await`"):
        serve(make_app())


def test_an_import_string_and_any_asgi_app_will_do() -> None:
    assert serve("app_snippets.live_laboratory.three_endpoints:app").alive
    assert serve(APIRouter()).alive


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServeError, match=f"Port {port} cannot be used"):
            serve(app_with_lifespan(), port=port)


def test_a_named_port_can_be_served_on_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for _ in range(3):
        server = serve(app_with_lifespan(), port=port)
        assert server.port == port
        assert get(server).status_code == 200


def endless_app() -> FastAPI:
    app = FastAPI()

    @app.get("/spin")
    async def spin() -> None:
        while True:
            pass

    @app.get("/spin-in-thread")
    def spin_in_thread() -> None:
        while True:
            pass

    @app.get("/sleep")
    async def sleep() -> None:
        time.sleep(12)  # noqa: ASYNC251

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def endless() -> AsyncIterator[bytes]:
            while True:
                yield b"x"
                await asyncio.sleep(0.01)

        return StreamingResponse(endless())

    @app.websocket("/ws")
    async def ws(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.receive_text()

    return app


@pytest.mark.parametrize("path", ["/spin", "/spin-in-thread"])
def test_a_spinning_handler_is_ended(path: str) -> None:
    server = serve(endless_app(), grace=0.2)
    with contextlib.suppress(httpx.ReadTimeout):
        get(server, path, timeout=0.2)
    server.stop()
    assert not server.alive
    assert not server.given_up


def test_a_sleeping_handler_is_given_up_with_a_sentence() -> None:
    server = serve(endless_app(), grace=0.2)
    with contextlib.suppress(httpx.ReadTimeout):
        get(server, "/sleep", timeout=0.2)
    with pytest.warns(ServerGivenUp, match="Python cannot end from outside"):
        server.stop()
    assert server.alive  # until the sleep is over, for which nobody waited
    assert get(serve(app_with_lifespan())).status_code == 200
    server.thread.join(20)
    assert not server.alive


def test_nothing_is_printed_about_the_threads_that_are_ended() -> None:
    """Idle ones, too: on a slow machine they have not gone by themselves when the spinning ones are ended."""
    script = (
        "import time\n"
        "import httpx\n"
        "from fastapi import FastAPI\n"
        "from workbench.server import live as bench\n"
        "app = FastAPI()\n"
        "app.get('/')(lambda: time.sleep(0.1))\n"
        "with bench.serve(app) as server:\n"
        "    httpx.get(server.url, trust_env=False)\n"
        "    worker, = {one for one in server._threads() if 'AnyIO' in one.name}\n"
        "    bench.raise_in(worker, bench.HandlerEnded)\n"
        "worker.join()\n"
        "def raises(): raise ValueError('of somebody else')\n"
        "other = bench.threading.Thread(target=raises)\n"
        "other.start()\n"
        "other.join()\n"
        "print('the end')\n"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout == "the end\n"
    assert "HandlerEnded" not in said.stderr
    assert "ValueError: of somebody else" in said.stderr


async def test_open_streams_and_websockets_do_not_hold_up_the_stop() -> None:
    server = serve(endless_app(), grace=0.3)
    async with server.client() as client, client.stream("GET", "/stream") as stream:
        await anext(stream.aiter_bytes())
        async with websockets.connect(f"{server.ws_url}/ws"):
            await asyncio.to_thread(server.stop)
            assert not server.alive


def test_log_lines_go_to_the_server_and_not_to_the_page(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # as in a new kernel: pytest has put some there
    app = FastAPI()

    @app.get("/")
    def root() -> None:
        logging.getLogger("shop").warning("in a worker thread")
        raise ValueError("broken on purpose")

    server = serve(app)
    assert get(server).status_code == 500
    server.stop()
    said = "\n".join(server.logs)
    assert "WARNING shop: in a worker thread" in said
    assert "broken on purpose" in said
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def test_a_lost_task_exception_is_noted() -> None:
    app = FastAPI()

    async def fail() -> None:
        raise ValueError("seen by nobody")

    @app.get("/")
    async def root() -> None:
        asyncio.create_task(fail())  # noqa: RUF006
        await asyncio.sleep(0.01)
        gc.collect()

    server = serve(app)
    get(server)
    server.stop()
    assert [str(error) for error in server.lost] == ["seen by nobody"]


def test_debug_mode_logs_what_holds_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    server = serve("app_snippets.blocking_and_waiting.wrong_sleep_in_async_def:app", debug=True)
    get(server, "/report")
    server.stop()
    assert any("took 0." in line for line in server.logs)


def test_nothing_leaks_in_a_thousand_servers() -> None:
    app = app_with_lifespan()
    process = psutil.Process()

    def cycle(times: int) -> None:
        for _ in range(times):
            with serve(app) as server, socket.create_connection(("127.0.0.1", server.port)) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert connection.recv(64).startswith(b"HTTP/1.1 200")

    cycle(100)
    gc.collect()
    threads, descriptors, memory = threading.active_count(), process.num_fds(), process.memory_info().rss
    cycle(1000)
    gc.collect()
    assert threading.active_count() == threads
    assert process.num_fds() <= descriptors + 2
    assert process.memory_info().rss < memory + 20e6


def test_a_proxy_in_the_environment_is_not_asked_for_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # where nobody listens
    with serve(app_with_lifespan()) as server:
        assert httpx.get(server.url).json() == "here"
