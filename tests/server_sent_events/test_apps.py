"""The apps of "Server-sent events", each served by itself, with hostile input."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from app_snippets.server_sent_events.sse_client import Event, events, listen
from workbench.clock import until
from workbench.server import LiveServer, serve

FOLDER = "app_snippets.server_sent_events"
ROOT = Path(__file__).parents[2]
FORGED = "hello\n\nevent: admin\ndata: log out"
HOSTILE = ["a\nb", "a\rb", "a\r\n\r\nid: 7", "\0", "x" * 100_000, FORGED, "", "   ", "data: x", ": ping"]


@contextlib.contextmanager
def served(app: str) -> Iterator[LiveServer]:
    """An app, with nothing left open and nothing gone wrong at the end."""
    with serve(f"{FOLDER}.{app}:app") as server:
        yield server
    assert server.lost == []
    assert not server.errors


@contextlib.asynccontextmanager
async def listeners(server: LiveServer, number: int) -> AsyncIterator[list[list[Event]]]:
    """So many clients that listen to /events for the length of the block."""
    got: list[list[Event]] = [[] for _ in range(number)]

    async def hear(into: list[Event]) -> None:
        async with server.client() as client, client.stream("GET", "/events") as response:
            async for event in events(response):
                into.append(event)  # noqa: PERF401 (seen while it grows)

    tasks = [asyncio.create_task(hear(into)) for into in got]
    try:
        yield got
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


# by hand and natively


@pytest.mark.parametrize(("app", "kinds"), [("wrong_by_hand", ["notice", "admin"]), ("notices", ["notice"])])
async def test_only_the_f_string_can_be_forged(app: str, kinds: list[str]) -> None:
    with served(app) as server:
        async with server.client() as client:
            await client.post("/notices", params={"text": FORGED})
            got: list[Event] = []
            await listen(client, "/notices", got)
    assert [one.kind for one in got] == kinds


async def test_native_events_carry_any_text() -> None:
    with served("notices") as server:
        async with server.client() as client:
            for text in HOSTILE[:4] + HOSTILE[5:]:
                await client.post("/notices", params={"text": text})
            got: list[Event] = []
            await listen(client, "/notices", got)
            response = await client.get("/notices")
    assert [httpx.Response(200, content=one.data).json() for one in got] == HOSTILE[:4] + HOSTILE[5:]
    assert {one.kind for one in got} == {"notice"}
    assert {one.id for one in got} == {""}
    assert response.headers["content-type"].startswith("text/event-stream")


async def test_by_hand_nothing_breaks_either() -> None:
    with served("wrong_by_hand") as server:
        async with server.client() as client:
            for text in HOSTILE[:4] + HOSTILE[5:]:
                assert (await client.post("/notices", params={"text": text})).status_code == 201
            assert (await client.get("/notices")).status_code == 200


# progress


async def test_steps_go_on_where_the_client_was() -> None:
    with served("progress") as server:
        async with server.client() as client:
            job = (await client.post("/jobs")).json()["id"]
            path = f"/jobs/{job}/events"

            async def ids(last: str, until: int | None = None) -> list[str]:
                got = []
                headers = {"last-event-id": last.encode("latin-1")}
                async with client.stream("GET", path, headers=headers) as response:
                    assert response.status_code == 200
                    async for event in events(response):
                        got.append("end" if event.kind == "end" else event.id)
                        if until and len(got) == until:
                            break
                return got

            early = await asyncio.wait_for(ids("99", 1), 8)  # beyond what is done, while the job runs
            assert early != ["end"]
            assert await ids("beyond", 1) == ["1"]
            whole = [*map(str, range(1, 21)), "end"]
            assert await ids("") == whole
            assert await ids("7") == whole[7:]
            for rubbish in ("nope", "-1", "\xb2", "1.5", "0x10", "9" * 5_000, "1 2"):
                assert await ids(rubbish) == whole
            for beyond in ("20", "21", "99999999"):
                assert await ids(beyond) == ["end"]
            assert (await client.get("/")).headers["content-type"].startswith("text/html")
            assert (await client.get("/jobs/nope/events")).status_code == 404


async def test_two_jobs_do_not_mix_and_a_cut_loses_nothing() -> None:
    with served("progress") as server:
        async with server.client() as client:
            first = (await client.post("/jobs")).json()["id"]
            await asyncio.sleep(0.7)
            second = (await client.post("/jobs")).json()["id"]
            assert first != second
            heard: list[list[Event]] = [[], []]
            both = [
                asyncio.create_task(listen(client, f"/jobs/{job}/events", got, connections=5))
                for job, got in zip((first, second), heard, strict=True)
            ]
            for _ in range(2):
                await asyncio.sleep(0.8)
                assert (await client.post("/cut")).status_code == 204
            await asyncio.gather(*both)
            for got in heard:
                assert [one.id for one in got[:-1]] == [str(number) for number in range(1, 21)]
                assert got[-1].kind == "end"


# how streams end


async def test_four_ends() -> None:
    with serve(f"{FOLDER}.how_it_ends:app") as server:
        async with server.client() as client:
            heard: dict[str, list[Event]] = {path: [] for path in ("/stops", "/says-end", "/says-failed", "/fails")}
            for path, into in heard.items():
                await listen(client, path, into)
    stops, says_end, says_failed, lost = [[(one.kind, one.data, one.id) for one in got] for got in heard.values()]
    steps = [("message", number, number) for number in "123"]
    assert stops == steps
    assert says_end == [*steps, ("end", '"that was all"', "3")]
    assert says_failed == [*steps, ("failed", '"the printer is on fire"', "3")]
    assert len(lost) < 3
    assert any("the printer is on fire" in line for line in server.logs)
    assert server.lost == []


# many listeners


async def test_one_queue_gives_each_text_to_one() -> None:
    with served("wrong_one_queue") as server:
        async with server.client() as client, listeners(server, 3) as got:
            assert await until(lambda: len([one for one in server.record.requests if one.path == "/events"]) == 3)
            for number in range(30):
                await client.post("/events", params={"text": str(number)})
            assert await until(lambda: sum(map(len, got)) == 30)
    assert sorted(int(one.data.strip('"')) for into in got for one in into) == list(range(30))


async def test_fan_out_to_all_and_nobody_is_left() -> None:
    with served("fan_out") as server:
        async with server.client() as client:
            async with listeners(server, 3) as got:
                async with asyncio.timeout(5):
                    while (await client.post("/events", json="hello")).json() < 3:
                        await asyncio.sleep(0.02)
                for text in HOSTILE:
                    assert (await client.post("/events", json=text)).json() == 3
                    assert await until(lambda text=text: all(into and _says(into[-1], text) for into in got))
            async with asyncio.timeout(5):
                while (await client.post("/events", json="anybody?")).json():
                    await asyncio.sleep(0.02)
    for into in got:
        assert {one.kind for one in into} == {"message"}
        assert [_text(one) for one in into][-len(HOSTILE) :] == HOSTILE


async def test_who_does_not_read_is_let_go_and_told() -> None:
    with served("fan_out") as server:
        async with server.client() as client, server.client() as slow:
            async with listeners(server, 1) as (reader,), slow.stream("GET", "/events") as response:
                async with asyncio.timeout(5):
                    while (await client.post("/events", json="hello")).json() < 2:
                        await asyncio.sleep(0.02)
                assert await until(lambda: reader)
                for number in range(150):
                    text = f"{number} {'x' * 128_000}"
                    left = (await client.post("/events", json=text)).json()
                    assert await until(lambda text=text: _says(reader[-1], text))
                    if left == 1:
                        break
                async with asyncio.timeout(10):
                    got = [event async for event in events(response)]
            assert left == 1
            assert [one.kind for one in got[-2:]] == ["message", "lagging"]
            large = [int(_text(one).split()[0]) for one in got[:-1] if len(one.data) > 1_000]
            assert large == list(range(len(large)))  # nothing is missing before it was let go
            assert len(large) <= number


def _text(event: Event) -> object:
    return httpx.Response(200, content=event.data).json()


def _says(event: Event, text: str) -> bool:
    return _text(event) == text


# the end of the server


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM that a process can handle")
@pytest.mark.parametrize(("app", "last"), [("goodbye", "bye"), ("wrong_no_goodbye", "message")])
async def test_what_a_listener_hears_at_sigterm(app: str, last: str) -> None:
    command = [sys.executable, "-m", "uvicorn", f"{FOLDER}.{app}:app", "--port", "0"]
    command += ["--timeout-graceful-shutdown", "2"]
    quiet = {"stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL}
    process = subprocess.Popen(command, cwd=ROOT, text=True, **quiet)  # noqa: ASYNC220
    try:
        url = await asyncio.to_thread(lambda: next(line.split()[4] for line in process.stderr if "running on" in line))
        got: list[Event] = []

        async def hear() -> None:
            with contextlib.suppress(httpx.RemoteProtocolError):
                async with (
                    httpx.AsyncClient(base_url=url, trust_env=False, timeout=20) as client,
                    client.stream("GET", "/events") as response,
                ):
                    async for event in events(response):
                        got.append(event)  # noqa: PERF401 (seen while it grows)

        task = asyncio.create_task(hear())
        assert await until(lambda: got, 20)
        process.terminate()
        await asyncio.wait_for(task, 20)
        await asyncio.to_thread(process.communicate, timeout=20)
    finally:
        process.kill()
        await asyncio.to_thread(process.wait)
    assert got[-1].kind == last
