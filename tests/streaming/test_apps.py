"""The apps of "Streaming responses", each served by itself, with hostile input and clients that leave."""

import asyncio
import csv
import gc
import io
import json

import httpx
import pytest

from workbench.around import burst
from workbench.clock import until
from workbench.server import LiveServer, serve

FOLDER = "app_snippets.streaming"


async def leave(server: LiveServer, path: str, pieces: int = 1) -> None:
    """Read so many pieces of an answer, and close the connection."""
    async with server.client() as client, client.stream("GET", path) as response:
        async for _ in response.aiter_raw():
            pieces -= 1
            if pieces == 0:
                return


async def until_done(server: LiveServer, path: str) -> None:
    """Wait until the server has ended every request of a path."""
    over = await until(lambda: all(one.done is not None for one in list(server.record.requests) if one.path == path))
    assert over, f"{path} goes on"


def parsed(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


async def test_the_export_survives_hostile_names() -> None:
    with serve(f"{FOLDER}.row_by_row:app") as server:
        async with server.client() as client:
            response = await client.get("/parts.csv?rows=2500")
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    lines = parsed(response.text)
    assert lines[0] == ["part", "instead of", "difference"]
    assert len(lines) == 2501
    assert {len(line) for line in lines} == {3}
    assert lines[2] == ["Screw, 4 mm", 'Pipe 3"', "-1"]
    assert lines[3][1] == "Nut\nand bolt"
    assert lines[4][1] == "'=1+1"
    assert not [cell for line in lines for cell in line[:2] if cell.startswith(("=", "+", "-", "@"))]


@pytest.mark.parametrize("app", ["row_by_row", "wrong_list"])
@pytest.mark.parametrize("rows", [0, 1, 99, 100, 101])
async def test_the_export_has_as_many_rows_as_asked_for(app: str, rows: int) -> None:
    with serve(f"{FOLDER}.{app}:app") as server:
        async with server.client() as client:
            text = (await client.get(f"/parts.csv?rows={rows}")).text
    assert text.count("Screw, 4 mm") == rows + (rows > 0)


async def test_the_wrong_export_breaks_at_a_comma() -> None:
    with serve(f"{FOLDER}.wrong_list:app") as server:
        async with server.client() as client:
            response = await client.get("/parts.csv?rows=10")
    assert "content-length" in response.headers
    assert {len(line) for line in parsed(response.text)} > {3}


@pytest.mark.parametrize("rows", ["many", "1; DROP TABLE parts", "", "1e9"])
async def test_rows_must_be_a_number(rows: str) -> None:
    with serve(f"{FOLDER}.row_by_row:app") as server:
        async with server.client() as client:
            assert (await client.get("/parts.csv", params={"rows": rows})).status_code == 422


async def test_an_export_ends_with_its_client() -> None:
    with serve(f"{FOLDER}.row_by_row:app") as server:
        for _ in range(5):
            await leave(server, "/parts.csv?rows=1000000")
        await until_done(server, "/parts.csv")
        calls = await burst(server, "/parts.csv?rows=10", 3)
    assert calls.statuses == [200] * 3
    assert server.lost == []


async def test_a_client_that_does_not_read_holds_the_export_back() -> None:
    with serve(f"{FOLDER}.row_by_row:app", grace=0.1) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
        writer.write(b"GET /parts.csv?rows=1000000 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        await asyncio.sleep(0.3)
        (request,) = server.record.requests
        assert request.done is None
        writer.transport.abort()
        await until_done(server, "/parts.csv")


async def test_json_lines_are_checked_documented_and_early() -> None:
    with serve(f"{FOLDER}.json_lines:app") as server:
        (as_list, as_lines, as_they_are) = (await burst(server, ["/list", "/lines", "/as-they-are"], 3)).calls
        described = (await burst(server, "/openapi.json", 1)).calls[0].json()
    assert as_lines.headers["content-type"] == "application/jsonl"
    lines = [json.loads(line) for line in as_lines.body.splitlines()]
    assert lines == as_list.json()
    assert b"hunter2" not in as_list.body + as_lines.body
    assert as_they_are.body.count(b"hunter2") == 5
    content = described["paths"]["/lines"]["get"]["responses"]["200"]["content"]
    assert content == {"application/jsonl": {"itemSchema": {"$ref": "#/components/schemas/Reading"}}}
    assert as_list.request is not None
    assert as_lines.request is not None
    assert as_list.request.first_byte is not None
    assert as_lines.request.first_byte is not None
    assert as_lines.request.first_byte < as_list.request.first_byte


async def test_json_lines_end_with_their_client() -> None:
    with serve(f"{FOLDER}.json_lines:app") as server:
        await leave(server, "/lines")
        await until_done(server, "/lines")
    (request,) = server.record.requests
    assert request.duration is not None
    assert request.error is None
    assert server.lost == []


async def test_a_failure_half_way_breaks_the_connection() -> None:
    with serve(f"{FOLDER}.half_way:app") as server:
        raised = None
        async with server.client() as client, client.stream("GET", "/cut-off") as response:
            try:
                await response.aread()
            except httpx.HTTPError as error:
                raised = error
        assert response.status_code == 200
        assert isinstance(raised, httpx.RemoteProtocolError)
        assert isinstance(server.record.requests[-1].error, ConnectionError)
        for fail, count in ((True, 2), (False, 4)):
            (call,) = (await burst(server, f"/with-an-end?fail={fail}", 1)).calls
            *orders, end = [json.loads(line) for line in call.body.splitlines()]
            assert len(orders) == count
            assert end == {"kind": "end", "complete": not fail}


@pytest.mark.parametrize(
    ("path", "log"),
    [
        ("/dependency", ["opened", "row", "closing", "closed"]),
        ("/generator", ["opened", "row", "closing"]),
        ("/function-scope", ["opened", "closing", "closed", "row"]),
    ],
)
async def test_who_cleans_up_when_the_client_leaves(path: str, log: list[str]) -> None:
    with serve(f"{FOLDER}.who_cleans_up:app") as server:
        await leave(server, path)
        await until_done(server, path)
        assert (await burst(server, "/log", 1)).calls[0].json() == log


async def test_a_plain_generator_is_closed_by_the_garbage_collector() -> None:
    with serve(f"{FOLDER}.wrong_plain_generator:app") as server:
        gc.disable()
        try:
            await leave(server, "/plain")
            await until_done(server, "/plain")
            assert (await burst(server, "/log", 1)).calls[0].json() == ["opened"]
        finally:
            gc.enable()
        gc.collect()
        assert (await burst(server, "/log", 1)).calls[0].json() == ["opened", "closed"]


@pytest.mark.parametrize(
    ("asked", "status", "length"),
    [
        (None, 200, 20_480_000),
        ("bytes=0-99", 206, 100),
        ("bytes=20479999-", 206, 1),
        ("bytes=-5", 206, 5),
        ("bytes=20480000-", 416, None),
        ("bytes=99-0", 400, None),
        ("lines=1-2", 400, None),
    ],
)
async def test_a_file_is_sent_in_parts(asked: str | None, status: int, length: int | None) -> None:
    with serve(f"{FOLDER}.a_file:app") as server:
        async with server.client() as client:
            response = await client.get("/report", headers={"range": asked} if asked else {})
    assert response.status_code == status
    if length is not None:
        assert len(response.content) == length


async def test_a_file_ends_with_its_client() -> None:
    with serve(f"{FOLDER}.a_file:app") as server:
        await leave(server, "/report")
        await until_done(server, "/report")
    assert server.lost == []
