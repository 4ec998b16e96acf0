"""The apps of "Middleware", each served by itself, and met with hostile headers."""

import re

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from app_snippets.middleware.layers import PureASGI, WithDispatch, build
from workbench.around import burst
from workbench.server import LiveServer, serve

FOLDER = "app_snippets.middleware"
HOSTILE = ["null", "https://good.example.evil.example", "https://evil.example", "a" * 10_000, "a\tb", "caf\xe9", ""]
APPS = [
    ("wrong_timing", "/report"),
    ("timing", "/export"),
    ("layers", "/"),
    ("who_sees_the_user", "/"),
    ("order", "/"),
    ("wrong_dict_headers", "/login"),
    ("header_added", "/login"),
    ("wrong_cors_by_hand", "/inbox"),
    ("cors", "/inbox"),
]


async def get(server: LiveServer, path: str, **headers: str) -> httpx.Response:
    async with server.client() as client:
        sent = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
        return await client.get(path, headers=sent)


@pytest.mark.parametrize(("app", "path"), APPS)
async def test_hostile_headers_change_nothing(app: str, path: str) -> None:
    with serve(f"{FOLDER}.{app}:app") as server:
        answers = [await get(server, path, origin=value, x_request_id=value, cookie=value) for value in HOSTILE]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert server.lost == []


async def test_the_wrong_timer_sees_the_start_of_a_stream_only() -> None:
    with serve(f"{FOLDER}.wrong_timing:app") as server:
        report, export = (await burst(server, ["/report", "/export"], 2)).calls
        async with connect(f"{server.ws_url}/live", proxy=None) as socket:
            assert await socket.recv() == "nobody timed me"
    assert float(report.headers["x-process-time"]) > 0.75
    assert export.latency - float(export.headers["x-process-time"]) > 0.75
    assert export.body == b"row 0\nrow 1\nrow 2\nrow 3\n"


async def test_the_pure_timer_sees_the_end() -> None:
    with serve(f"{FOLDER}.timing:app") as server:
        (export,) = (await burst(server, "/export", 1)).calls
    (logged,) = [float(match[1]) for line in server.logs if (match := re.search(r"/export took (.*) s$", line))]
    assert logged - float(export.headers["x-first-byte"]) > 0.75


@pytest.mark.parametrize(("layer", "value"), [(WithDispatch, "dispatch"), (PureASGI, "pure")])
@pytest.mark.parametrize("depth", [0, 1, 10])
async def test_layers_do_the_same(layer: type, value: str, depth: int) -> None:
    with serve(build(layer, depth)) as server:
        answer = await get(server, "/")
    assert answer.json() == "done"
    assert answer.headers.get_list("x-layer") == ([value] if depth else [])


async def test_only_the_layer_inside_sees_what_the_endpoint_set() -> None:
    with serve(f"{FOLDER}.who_sees_the_user:app") as server:
        answer = await get(server, "/")
    assert [answer.headers[f"x-{place}"] for place in ("inside", "dispatch", "outside")] == ["ada", "nobody", "nobody"]


async def test_layers_are_met_last_added_first() -> None:
    with serve(f"{FOLDER}.order:app") as server:
        found, missing, broken = [await get(server, path) for path in ("/", "/missing", "/broken")]
    names = ["added last", "added second", "added first"]
    assert found.json() == names
    assert found.headers.get_list("x-way-out") == missing.headers.get_list("x-way-out") == names[::-1]
    assert (missing.status_code, broken.status_code) == (404, 500)
    assert broken.headers.get_list("x-way-out") == []


@pytest.mark.parametrize(("app", "left"), [("wrong_dict_headers", 1), ("header_added", 3)])
async def test_cookies(app: str, left: int) -> None:
    with serve(f"{FOLDER}.{app}:app") as server:
        answer = await get(server, "/login", cookie="session=1; session=2; csrf=" + "x" * 4_000)
    assert len(answer.headers.get_list("set-cookie")) == left
    assert answer.headers.get_list("x-content-type-options") == ["nosniff"]


async def test_a_lifespan_that_fails_in_a_middleware_is_skipped_in_silence() -> None:
    with serve(f"{FOLDER}.wrong_no_scope_check:app") as server:
        (call,) = (await burst(server, "/", 1)).calls
    assert call.status == 500
    assert call.request is not None
    assert "greetings" in str(call.request.error)


async def test_the_wrong_gate_is_a_500_and_an_open_door() -> None:
    with serve(f"{FOLDER}.wrong_gate:app") as server:
        assert (await get(server, "/salaries", authorization="Bearer swordfish")).json() == {"ada": 100}
        for token in ["", "Bearer", "Bearer caf\xe9", "a" * 10_000]:
            assert (await get(server, "/salaries", authorization=token)).status_code == 500
        async with connect(f"{server.ws_url}/salaries/live", proxy=None) as socket:
            assert "ada" in await socket.recv()


@pytest.mark.parametrize("origin", ["https://good.example", *HOSTILE[:3]])
async def test_cors(origin: str) -> None:
    good = origin == "https://good.example"
    asked = {"origin": origin, "access-control-request-method": "DELETE"}
    with (
        serve(f"{FOLDER}.wrong_cors_by_hand:app", name="by hand") as by_hand,
        serve(f"{FOLDER}.cors:app", name="shared") as shared,
    ):
        async with by_hand.client() as client:
            assert (await client.get("/inbox", headers=asked)).headers["access-control-allow-origin"] == origin
            assert (await client.options("/inbox", headers=asked)).status_code == 405
        async with shared.client() as client:
            read = await client.get("/inbox", headers=asked)
            assert read.headers.get("access-control-allow-origin") == (origin if good else None)
            assert "Origin" in read.headers["vary"]
            assert (await client.options("/inbox", headers=asked)).status_code == (200 if good else 400)
            assert "access-control-allow-origin" not in (await client.get("/broken", headers=asked)).headers
        async with connect(f"{shared.ws_url}/live", origin=origin, proxy=None) as socket:
            assert await socket.recv() == "a private letter"


async def test_closed_before_accept_is_a_403() -> None:
    async def closed(scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        await send({"type": "websocket.close", "code": 1008})

    with serve(closed) as server, pytest.raises(InvalidStatus) as refused:
        async with connect(server.ws_url, proxy=None):
            pass
    assert refused.value.response.status_code == 403
