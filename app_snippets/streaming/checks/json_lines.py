"""E2: JSON Lines natively, from a source that blocks."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

from app_snippets.streaming.checks.common import Streamed, patched, streamed
from app_snippets.streaming.checks.csv_export import require_whole
from workbench import clock
from workbench.around import Heartbeat, burst, heartbeat
from workbench.judge import Answer, Held, Probe, exercise, ms, quoted, require_pings
from workbench.server import LiveServer

PATH = "/readings"
ROWS, EACH = 6, 0.06  # rows, and seconds that the archive takes for each
HELD_AT, PATIENCE = 3, 0.8  # after so many rows the archive waits so long for the client to have one
MOST_HELD = ROWS / 2  # rows, or the seconds that these take, without a turn of the loop; a wrong answer gives it none
TRIED = f"`{PATH}` of an archive that takes {ms(EACH)} for each of {ROWS} rows, with a heartbeat on /ping"


class Rows:
    """What the answer reads: synchronous, slow, and with a field that nobody may see."""

    def __init__(self, server: LiveServer) -> None:
        self.given = 0
        self.on_the_loop = 0  # rows that were read in the thread of the server's loop
        self.without_a_turn = 0  # rows that took their time while the loop did nothing
        self.server = server
        self.arrived = threading.Event()

    def read(self) -> Iterator[dict[str, Any]]:
        for number in range(ROWS):
            if number == HELD_AT:
                self.wait()
            turned = threading.Event()
            self.server.loop.call_soon_threadsafe(turned.set)  # type: ignore[union-attr]
            time.sleep(EACH)
            self.without_a_turn += not turned.is_set()
            self.on_the_loop += threading.current_thread() is self.server.thread
            self.given += 1
            yield {"sensor": f"S{number}", "celsius": 20 + number / 2, "password": "hunter2"}

    def wait(self) -> None:
        until = clock.now() + PATIENCE
        while not self.arrived.is_set() and clock.now() < until:
            time.sleep(0.005)


EXPECTED = [{"sensor": f"S{number}", "celsius": 20 + number / 2} for number in range(ROWS)]


@exercise(
    "JSON Lines from an archive",
    asks_for="app",
    hints=[
        "FastAPI makes JSON Lines of an endpoint that yields. What does it make the schema of a line from?",
        "The archive's rows() blocks for each row. Who runs an endpoint that is declared with `def`, and does that "
        "hold for one that yields?",
        "def readings(…) -> Iterator[Reading], and in it: for row in archive.rows(): yield Reading(**row).",
    ],
)
async def json_lines(answer: Answer) -> str:
    """Media type, lines, the schema of an item, the first line early, and a free loop."""
    await answer.load()
    async with answer.served() as server:
        await burst(server, "/ping", 1)
        longest = await _trial(answer, server)
        await _require_schema(server)
    return f"{ROWS} lines, the first one early, while /ping waited for {ms(longest)} at most."


async def _trial(answer: Answer, server: LiveServer) -> float:
    rows = Rows(server)
    patched(answer, "Archive", rows=lambda _: rows.read())
    given: list[int] = []

    def noted(piece: bytes) -> None:
        if piece.strip():
            given.append(rows.given)
            rows.arrived.set()

    with answer.watched(server, shortest=EACH / 2) as held:
        async with heartbeat(server) as beat:
            found = await streamed(server, PATH, on_piece=noted)
    require_pings(beat, TRIED)
    _require_lines(found, rows)
    if given[0] > HELD_AT:
        raise Probe(TRIED, "the first line at the client while the archive is still read").saw(
            f"it came when {given[0]} of {ROWS} rows had been read",
            "The lines are right, and they come all at once: the rows are collected before the first one is yielded. "
            "Yield inside the loop that reads the archive.",
        )
    _require_free(rows, held, beat)
    return beat.longest


def _require_lines(found: Streamed, rows: Rows) -> None:
    call = found.call
    error = type(call.request.error).__name__ if call.request else ""
    text = call.body.decode(errors="replace")
    if error == "ResponseValidationError" and found.cut_off and not text.strip():
        raise Probe(TRIED, f"{ROWS} lines").saw(
            "status 200, and then a broken connection",
            "What is yielded is not what the return type says: FastAPI checks each item against it, and the first one "
            "ended the stream. Yield a Reading, no text and no list. FastAPI writes the JSON.",
        )
    require_whole(found, TRIED, f"status 200 and {ROWS} lines")
    parsed = _parsed(text)
    whole = parsed[0] if len(parsed) == 1 else None
    if found.media_type == "application/json" and isinstance(whole, list):
        why = (
            "It is one JSON list: its first reading cannot leave before the last one is there. An endpoint that yields "
            "has no list."
        )
    elif any(isinstance(one, str) for one in parsed):
        why = (
            "Each line is JSON in JSON: a text with a reading in it. The text that you yield is encoded once more. "
            "Yield the Reading itself."
        )
    elif isinstance(whole, list):
        why = "All readings are in one line, as a list: it was yielded at once. Yield each reading by itself."
    elif any(isinstance(one, dict) and "password" in one for one in parsed):
        why = (
            "The password is in the lines. The archive's rows went out as they are: FastAPI leaves out what Reading "
            "does not have only where the return type says that Readings are yielded."
        )
    elif parsed == EXPECTED and found.media_type != "application/jsonl":
        why = f"The lines are right, and the client is told that they are `{found.media_type}`."
    elif None in parsed and "}{" in text.replace(" ", ""):
        why = "There is no newline after each object, so that nobody can tell where a line ends."
    elif parsed != EXPECTED:
        why = "The lines are not the archive's readings: one JSON object for each row, in their order."
    else:
        return
    raise Probe(TRIED, f"`application/jsonl`, and {ROWS} lines such as `{json.dumps(EXPECTED[0])}`").saw(
        f"`{found.media_type}`: {quoted(text, 80)}", why
    )


def _parsed(text: str) -> list[Any]:
    """Each line as JSON, None for one that is not."""
    found: list[Any] = []
    for line in text.splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            found.append(None)
    return found


def _require_free(rows: Rows, held: list[Held], beat: Heartbeat) -> None:
    seconds = sum(one.seconds for one in held)
    if rows.on_the_loop or rows.without_a_turn > MOST_HELD or seconds > MOST_HELD * EACH:
        at = f" at {held[0]}" if held else ""
        raise Probe(TRIED, "a loop that is free while the archive is read").saw(
            f"it was held{at}; a ping waited for {ms(beat.longest)}",
            (
                "The endpoint is an `async def`, and the archive blocks: each row holds the loop, for everybody. "
                if rows.on_the_loop
                else "The rows are read in a thread, and the loop stands still until they are there. "
            )
            + "An endpoint that yields may be a plain `def`; then a worker thread fetches each item.",
        )


async def _require_schema(server: LiveServer) -> None:
    described = (await burst(server, "/openapi.json", 1)).calls[0].json()
    content = described["paths"].get(PATH, {}).get("get", {}).get("responses", {}).get("200", {}).get("content", {})
    item = content.get("application/jsonl", {}).get("itemSchema", {})
    name = str(item.get("$ref", "")).rpartition("/")[2]
    schema = described.get("components", {}).get("schemas", {}).get(name, item)
    if {"sensor", "celsius"} <= set(schema.get("properties", {})):
        return
    raise Probe("what /openapi.json says about the lines", "an `itemSchema` with the fields of `Reading`").saw(
        quoted(content, 90),
        "The lines are right, and the documentation does not know what is in them. FastAPI takes it from the return "
        "type of an endpoint that yields: Iterator[Reading]. A response made by hand has none.",
    )
