"""The apps of "Blocking and waiting", each served by itself."""

import pytest

from workbench.around import burst
from workbench.server import serve

FOLDER = "app_snippets.blocking_and_waiting"


@pytest.mark.parametrize("path", ["/awaited", "/plain-def", "/to-thread"])
async def test_three_ways_leave_the_loop_free(path: str) -> None:
    with serve(f"{FOLDER}.three_ways:app") as server:
        await burst(server, "/ping", 1)
        calls = await burst(server, path, 4)
    assert [call.json() for call in calls.calls] == [{"report": "ready"}] * 4
    assert server.record.peak() > 1


async def test_the_wrong_sleep_takes_turns() -> None:
    with serve(f"{FOLDER}.wrong_sleep_in_async_def:app") as server:
        calls = await burst(server, "/report", 3)
    assert calls.statuses == [200] * 3
    assert server.record.peak() == 1
    assert calls.wall > 3 * 0.19


@pytest.mark.parametrize(("app", "takes_turns"), [("shared_async_client", False), ("wrong_sync_client", True)])
async def test_both_clients_bring_the_figures(app: str, takes_turns: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(f"{FOLDER}.figures:app", name="figures") as figures:
        monkeypatch.setenv("FIGURES_URL", figures.url)
        with serve(f"{FOLDER}.{app}:app") as server:
            calls = await burst(server, "/report", 3)
    assert [call.json() for call in calls.calls] == [{"orders": 42}] * 3
    assert (figures.record.peak() == 1) == takes_turns


async def test_each_function_runs_where_its_own_kind_says() -> None:
    with serve(f"{FOLDER}.who_runs_what:app") as server:
        calls = await burst(server, ["/async-def", "/plain-def"], 2)
    for call in calls.calls:
        for what, thread in call.json().items():
            assert (thread == server.thread.name) == what.startswith("async def")
