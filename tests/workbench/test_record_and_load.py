"""The record, the load and the claims: what they say is what happened."""

import asyncio
import time
from typing import Annotated

import pytest
import websockets
from fastapi import FastAPI, Header, WebSocket

from workbench.around import Burst, ask, burst, heartbeat
from workbench.clock import until
from workbench.server import serve
from workbench.show.claims import ClaimFailed, claim


def make_app() -> FastAPI:
    app = FastAPI()
    inside = 0
    all_inside = asyncio.Event()

    @app.get("/ping")
    async def ping() -> str:
        return "pong"

    @app.get("/ten")
    async def ten() -> None:
        """Answers nobody before ten are inside."""
        nonlocal inside
        inside += 1
        if inside == 10:
            all_inside.set()
        await all_inside.wait()
        await asyncio.sleep(0.2)

    @app.get("/wait")
    async def wait() -> None:
        await asyncio.sleep(0.2)

    @app.get("/wait-long")
    async def wait_long() -> None:
        await asyncio.sleep(30)

    @app.get("/hold")
    async def hold() -> None:
        time.sleep(0.2)  # noqa: ASYNC251

    @app.get("/fail")
    async def fail() -> None:
        raise ValueError("on purpose")

    @app.websocket("/ws")
    async def ws(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_bytes(await websocket.receive_bytes() * 2)
        await websocket.close()

    return app


async def test_a_burst_overlaps_and_pairs_each_call_with_what_the_server_saw() -> None:
    with serve(make_app()) as server:
        result = await burst(server, "/ten", 10)
    assert result.statuses == [200] * 10
    assert server.record.peak() == 10
    for call in result.calls:
        assert call.latency >= 0.2
        assert call.request is not None
        assert call.start <= call.request.arrived <= call.request.first_byte <= call.request.done <= call.end  # type: ignore[operator]
        assert call.request.status == 200
    assert len({call.request.client_port for call in result.calls if call.request}) == 10


async def test_a_held_loop_shows_in_the_record_and_in_the_heartbeat() -> None:
    with serve(make_app()) as server:
        await burst(server, "/ping", 1)
        async with heartbeat(server) as beat:
            held = await burst(server, "/hold", 3)
        async with heartbeat(server) as calm:
            free = await burst(server, "/wait", 3)
    assert held.longest_lag > 0.15
    assert held.wall > 3 * 0.19
    assert beat.longest > 0.15
    assert _held(held) > 3 * 0.19 > _held(free)  # for three whole calls, or for a stall of the machine at the most
    assert calm.per_second > 2 * beat.per_second
    assert len(calm.pings) > len(beat.pings)


def _held(result: Burst) -> float:
    """Seconds for which the loop was held during a burst, in all."""
    return sum(lag.held for lag in result.server.record.lags_between(result.start, result.end))


async def test_paths_take_turns() -> None:
    with serve(make_app()) as server:
        result = await burst(server, ["/ping", "/wait"], 4)
    assert [call.path for call in result.calls] == ["/ping", "/wait", "/ping", "/wait"]
    assert result.calls[0].json() == "pong"


async def test_a_burst_can_post() -> None:
    app = FastAPI()

    @app.post("/orders", status_code=201)
    async def order() -> str:
        return "noted"

    with serve(app) as server:
        result = await burst(server, "/orders", 3, method="POST")
        asked = await burst(server, "/orders", 1)
    assert [call.json() for call in result.calls] == ["noted"] * 3
    assert {call.request.method for call in result.calls if call.request} == {"POST"}
    assert asked.statuses == [405]


async def test_until_waits_and_gives_up() -> None:
    seen: list[int] = []
    assert await until(lambda: seen.append(1) or len(seen) > 3, 5)  # type: ignore[func-returns-value]
    assert not await until(lambda: False, 0.05)
    steps = iter(range(8))
    start = time.perf_counter()
    assert not await until(lambda: False, 0.05, lambda: next(steps, 8))  # each step starts the time again
    assert time.perf_counter() - start > 0.05


async def test_a_call_that_fails_says_why() -> None:
    with serve(make_app(), grace=0.1) as server:
        late = (await burst(server, "/wait-long", 1, timeout=0.05)).calls[0]
        failed = (await burst(server, "/fail", 1)).calls[0]
    gone = (await burst(server, "/ping", 1)).calls[0]
    assert late.status is None
    assert late.error == "no answer within 0.05 s"
    assert failed.status == 500
    assert failed.request is not None
    assert str(failed.request.error) == "on purpose"
    assert gone.status is None
    assert "ConnectionRefusedError" in (gone.error or "")


@pytest.mark.parametrize("n", [0, -1, 501])
async def test_a_burst_is_bounded(n: int) -> None:
    with serve(make_app()) as server, pytest.raises(ValueError, match="1 to 500 calls"):
        await burst(server, "/ping", n)


async def test_a_heartbeat_of_a_missing_path_tells_of_it() -> None:
    with serve(make_app()) as server:
        async with heartbeat(server, "/nothing") as beat:
            await asyncio.sleep(0.05)
    assert set(beat.failures) == {"status 404"}


async def test_websocket_messages_are_recorded() -> None:
    with serve(make_app()) as server:
        async with websockets.connect(f"{server.ws_url}/ws") as websocket:
            await websocket.send(b"abc")
            assert await websocket.recv() == b"abcabc"
    seen = [(message.direction, message.kind, message.size) for message in server.record.messages]
    assert seen[:4] == [("in", "connect", None), ("out", "accept", None), ("in", "receive", 3), ("out", "send", 6)]


def test_a_claim_that_holds_prints_its_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    claim("two is more than one", 2 > 1)
    assert capsys.readouterr().out == "✔ two is more than one\n"


def test_a_claim_that_fails_shows_both_sides() -> None:
    fast, slow = 3.5, 2.0
    with pytest.raises(ClaimFailed) as caught:
        claim("the fast one takes less than half", fast < slow / 2)
    assert str(caught.value).splitlines() == [
        "✘ the fast one takes less than half",
        "  claimed   fast < slow / 2",
        "  fast is 3.5",
        "  slow / 2 is 1.0",
    ]


async def test_a_burst_sends_the_headers_that_it_is_given() -> None:
    app = FastAPI()

    @app.get("/whose")
    async def whose(token: Annotated[str, Header()] = "") -> str:
        return token

    with serve(app) as server:
        assert (await ask(server, "/whose", headers={"token": "secret"})).parsed == "secret"
        made = await burst(server, "/whose", 2, headers={"token": "other"})
    assert [(call.parsed, call.request is not None) for call in made.calls] == [("other", True)] * 2
