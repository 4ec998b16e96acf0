"""The apps of "The live laboratory", each by itself."""

import subprocess
import sys

import pytest
import websockets

from workbench import course
from workbench.around import burst
from workbench.server import ServeError, serve

FOLDER = "app_snippets.live_laboratory"


async def test_three_endpoints_and_a_websocket() -> None:
    with serve(f"{FOLDER}.three_endpoints:app") as server:
        calls = await burst(server, ["/now", "/soon", "/later"], 3)
        async with websockets.connect(f"{server.ws_url}/echo") as websocket:
            await websocket.send("hello")
            assert await websocket.recv() == "you said hello"
    assert [call.json() for call in calls.calls] == ["now", "soon", "later"]
    assert sorted(calls.latencies) == calls.latencies


def test_the_app_that_never_starts() -> None:
    with pytest.raises(ServeError, match=r"ConnectionError: no database at db\.internal"):
        serve(f"{FOLDER}.wrong_lifespan_raises:app")


def test_nested_loops_tells_what_the_patch_does() -> None:
    script = course.SNIPPETS / "live_laboratory" / "nested_loops.py"
    said = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True).stdout.splitlines()
    assert said[:4] == [
        "asyncio.run inside a loop: asyncio.run() cannot be called from a running event loop",
        "tasks are written in C",
        "after apply(): it ran",
        "tasks are written in Python",
    ]
    assert float(said[4].rpartition(" ")[2]) > 1.2
