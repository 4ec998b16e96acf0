"""The apps of "Lifespan and shared clients", each served by itself."""

import importlib
import threading
from pathlib import Path
from urllib.parse import quote

import pytest
from starlette.datastructures import State

from workbench.around import Reply, burst, upstream
from workbench.server import LiveServer, ServeError, serve

FOLDER = "app_snippets.lifespan"


async def asked(server: LiveServer, path: str) -> tuple[int | None, str]:
    (call,) = (await burst(server, path, 1)).calls
    return call.status, call.body.decode()


@pytest.mark.parametrize(("app", "most"), [("wrong_client_per_request", 6), ("shared_client", 2)])
async def test_connections_to_the_service(app: str, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with upstream({"/price": Reply(0, 12)}) as service:
        monkeypatch.setenv("SERVICES_URL", service.url)
        with serve(f"{FOLDER}.{app}:app") as server:
            answers = [await asked(server, "/price") for _ in range(6)]
            assert await asked(server, "/ping") == (200, '"pong"')
        ports = {request.client_port for request in service.server.record.requests}
    assert answers == [(200, "12")] * 6
    assert len(ports) == most if most == 6 else len(ports) <= most


async def test_a_service_that_is_not_there_is_a_500_and_the_client_lives_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICES_URL", "http://127.0.0.1:9")
    with serve(f"{FOLDER}.shared_client:app") as server:
        assert [(await asked(server, "/price"))[0] for _ in range(3)] == [500] * 3
        assert (await asked(server, "/ping"))[0] == 200


@pytest.mark.parametrize("fault", ["", "open client", "open database", "close database", "close client"])
@pytest.mark.parametrize("name", ["wrong_by_hand", "on_a_stack"])
def test_what_is_left_open(name: str, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    app = importlib.import_module(f"{FOLDER}.{name}").app
    monkeypatch.setattr(app, "state", State({"log": [], "fault": fault}))
    if fault.startswith("open"):
        with pytest.raises(ServeError, match="the network is down"):
            serve(app)
    else:
        with serve(app) as server:
            pass
        assert bool(fault) == bool(server.errors)
    log = [entry.removesuffix(" ✘") for entry in app.state.log]
    opened = [entry.removeprefix("open ") for entry in app.state.log if entry in ("open client", "open database")]
    closed = [entry.removeprefix("close ") for entry in log if entry.startswith("close")]
    if name == "on_a_stack" or fault in ("", "open client", "close client"):
        assert closed == opened[::-1]
    else:
        assert set(opened) - set(closed) == {"client"}


async def test_the_resources_are_in_the_state() -> None:
    for name in ("wrong_by_hand", "on_a_stack"):
        with serve(f"{FOLDER}.{name}:app") as server:
            assert await asked(server, "/resources") == (200, '["client","database"]')


# Where a database cannot be opened, aiosqlite's thread may answer a loop that the failed server has closed by then.
@pytest.mark.filterwarnings(
    "ignore:Exception in thread .*_connection_worker_thread:pytest.PytestUnhandledThreadExceptionWarning"
)
async def test_client_and_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(threading.enumerate())
    with upstream({"/price": Reply(0, 12)}) as service:
        monkeypatch.setenv("SERVICES_URL", service.url)
        monkeypatch.setenv("DATABASE_URL", f"sqlite+aiosqlite:///{tmp_path}/shop.db")
        for visits in (1, 2):  # the database outlives the server
            with serve(f"{FOLDER}.client_and_database:app") as server:
                assert await asked(server, "/price") == (200, f'{{"price":12,"visits":{visits}}}')
        monkeypatch.setenv("DATABASE_URL", f"sqlite+aiosqlite:///{tmp_path}/none/shop.db")
        with pytest.raises(ServeError, match="unable to open database file"):
            serve(f"{FOLDER}.client_and_database:app")
    for thread in set(threading.enumerate()) - before:  # the database's threads end a moment after they are closed
        thread.join(timeout=5)
    assert set(threading.enumerate()) <= before


async def test_only_what_is_yielded_reaches_the_mounted_app() -> None:
    with serve(f"{FOLDER}.two_states:app") as server:
        assert await asked(server, "/app-state") == (200, '"set on app.state"')
        assert (await asked(server, "/admin/app-state"))[0] == 500
        for path in ("/request-state", "/admin/request-state"):
            assert await asked(server, path) == (200, '"yielded"')
        for number, name in enumerate(["ada", "'; DROP TABLE--", "\r\nX: 1", "ñ" * 500], start=1):
            assert await asked(server, f"/visits/{quote(name, safe='')}") == (
                200,
                f'{{"visits":1,"visitors":{number}}}',
            )
        assert (await asked(server, f"/visits/{quote('../x', safe='')}"))[0] == 404
    with serve(f"{FOLDER}.two_states:app") as again:  # a new server, a new list
        assert await asked(again, "/visits/ada") == (200, '{"visits":1,"visitors":1}')


async def test_only_a_timeout_around_the_call_ends_an_answer_that_drips(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(f"{FOLDER}.trickle:app", name="trickle") as trickle:
        monkeypatch.setenv("SERVICES_URL", trickle.url)
        with serve(f"{FOLDER}.two_timeouts:app") as server:
            paths = ["/client/silent", "/call/silent", "/client/drops", "/call/drops"]
            calls = await burst(server, [*paths, "/call/none", f"/call/{quote('..', safe='')}"], 6)
    assert calls.statuses[:4] == [504, 504, 200, 504]
    assert calls.calls[2].json() == "." * 12
    assert "Not Found" in calls.calls[4].body.decode()
