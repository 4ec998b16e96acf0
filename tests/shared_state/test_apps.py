"""The apps of "Shared state and cancellation", each served by itself: crowds, clients that leave, locks that hang."""

import asyncio
import importlib
from collections.abc import Callable, Iterator

import pytest

from workbench.around import Reply, Upstream, burst, upstream
from workbench.clock import until
from workbench.server import LiveServer, serve

FOLDER = "app_snippets.shared_state"


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> Iterator[Upstream]:
    with upstream({"/report": Reply(1.5, [1, 2, 3])}, name="services") as service:
        monkeypatch.setenv("SERVICES_URL", service.url)
        yield service


async def leave(server: LiveServer, path: str, when: Callable[[], object]) -> None:
    """Ask for a path, and close the connection as soon as the condition holds."""
    async with server.client() as client:
        asking = asyncio.create_task(client.get(path))
        assert await until(when)
        asking.cancel()
        await asyncio.wait([asking])


async def test_tickets_are_lost_across_an_await() -> None:
    with serve(f"{FOLDER}.wrong_across_an_await:app") as server:
        calls = (await burst(server, "/ticket", 20)).calls
        (sold,) = (await burst(server, "/sold", 1)).calls
    assert sold.json() < 20
    assert len({call.json() for call in calls}) < 20


async def test_with_a_lock_each_ticket_has_its_own_number() -> None:
    with serve(f"{FOLDER}.with_a_lock:app") as server:
        calls = (await burst(server, "/ticket", 20)).calls
        (sold,) = (await burst(server, "/sold", 1)).calls
    assert sorted(call.json() for call in calls) == list(range(1, 21))
    assert sold.json() == 20


async def test_who_needs_a_lock() -> None:
    with serve(f"{FOLDER}.who_needs_a_lock:app") as server:
        for path in ("/loop", "/threads", "/locked"):
            assert (await burst(server, path, 20)).statuses == [200] * 20
        (sold,) = (await burst(server, "/sold", 1)).calls
    counts = sold.json()
    assert counts["loop"] == counts["locked"] == 20
    assert counts["threads"] < 20


async def test_a_lock_for_threads_stops_the_server_and_can_be_given_back_from_outside() -> None:
    lock = importlib.import_module(f"{FOLDER}.wrong_threading_lock").app.state.lock
    with serve(f"{FOLDER}.wrong_threading_lock:app") as server:
        assert (await burst(server, "/ticket", 1)).statuses == [200]
        try:
            assert (await burst(server, "/ticket", 2, timeout=0.6)).statuses == [None, None]
            assert (await burst(server, "/ping", 1, timeout=0.4)).statuses == [None]
        finally:
            lock.release()
        assert (await burst(server, "/ping", 1)).statuses == [200]
    assert not server.alive


async def test_a_lock_taken_by_hand_is_lost_at_the_first_deadline() -> None:
    with serve(f"{FOLDER}.wrong_released_by_hand:app") as server:
        for path, then in {"/by-hand": 504, "/with-block": 200}.items():
            assert (await burst(server, f"{path}?seconds=0", 1)).statuses == [200]
            assert (await burst(server, f"{path}?seconds=9", 1)).statuses == [504]
            assert (await burst(server, f"{path}?seconds=0", 1)).statuses == [then]


@pytest.mark.parametrize("seconds", ["long", "", "0x1"])
async def test_seconds_must_be_a_number(seconds: str) -> None:
    with serve(f"{FOLDER}.wrong_released_by_hand:app") as server:
        assert (await burst(server, f"/with-block?seconds={seconds}", 1)).statuses == [422]


async def test_a_client_that_leaves_does_not_cancel_a_plain_handler(services: Upstream) -> None:
    with serve(f"{FOLDER}.wrong_goes_on:app") as server:
        await leave(server, "/report", lambda: services.asked)
        assert await until(lambda: services.finished)
    assert services.abandoned == []


async def test_the_work_ends_with_its_client_and_nobody_elses(services: Upstream) -> None:
    with serve(f"{FOLDER}.while_connected:app") as server:
        staying = asyncio.create_task(burst(server, "/report", 3))
        assert await until(lambda: len(services.asked) == 3)
        await leave(server, "/report", lambda: len(services.asked) == 4)
        assert await until(lambda: services.abandoned or services.finished)
        assert services.finished == []  # though these were begun before
        assert [call.json() for call in (await staying).calls] == [[1, 2, 3]] * 3
        assert await until(lambda: all(request.done for request in server.record.requests))
    assert len(services.abandoned) == 1
    assert not server.errors
    assert not server.lost


async def test_a_client_that_sends_a_body_is_no_client_that_has_left(services: Upstream) -> None:
    services.replies["/report"] = Reply(0.3, [1])
    with serve(f"{FOLDER}.while_connected:app") as server:
        async with server.client() as client:
            response = await client.request("GET", "/report", content=b"x" * 200_000)
    assert response.json() == [1]


async def test_everybody_waits_without_a_bound() -> None:
    with serve(f"{FOLDER}.wrong_everybody_in:app") as server:
        result = await burst(server, "/search", 20)
    assert result.statuses == [200] * 20
    assert result.wall > 4 * 0.2


async def test_the_room_is_bounded_and_given_back() -> None:
    with serve(f"{FOLDER}.shedding:app") as server:
        for _ in range(3):
            statuses = (await burst(server, "/search", 40)).statuses
            assert set(statuses) == {200, 503}
            assert statuses.count(200) >= 10
        for _ in range(12):  # clients that leave while they wait
            await leave(server, "/search", lambda: server.record.requests[-1].done is None)
        assert await until(lambda: all(request.done for request in server.record.requests))
        assert (await burst(server, "/search", 10)).statuses == [200] * 10


async def test_max_concurrency_lets_in_as_many_as_the_pool_serves() -> None:
    with serve(f"{FOLDER}.pool_of_five:app") as server:
        unlimited = await burst(server, "/unlimited", 20)
        limited = await burst(server, "/limited", 20)
    assert 500 in unlimited.statuses
    assert limited.statuses == [200] * 20


async def test_two_limits_in_opposite_order_wait_for_each_other() -> None:
    with serve(f"{FOLDER}.wrong_two_limits:app", grace=0.1) as server:
        assert (await burst(server, ["/store", "/restore"], 2, timeout=1)).statuses == [None, None]
    assert not server.alive
    with serve(f"{FOLDER}.wrong_two_limits:app", grace=0.1) as server:
        for path in ("/store", "/restore", "/store"):
            assert (await burst(server, path, 1)).statuses == [200]


async def test_asking_never_says_yes_behind_the_middleware_and_does_in_a_bare_app(services: Upstream) -> None:
    app = importlib.import_module(f"{FOLDER}.wrong_polling").app
    with serve(app) as server:
        await leave(server, "/report", lambda: services.asked)
        assert await until(lambda: services.finished)
    assert services.abandoned == []
    services.forget()
    middleware, app.user_middleware, app.middleware_stack = app.user_middleware, [], None
    try:
        with serve(app) as server:
            await leave(server, "/report", lambda: services.asked)
            assert await until(lambda: services.abandoned)
    finally:
        app.user_middleware, app.middleware_stack = middleware, None
