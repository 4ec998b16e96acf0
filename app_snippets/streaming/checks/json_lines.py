"""E2: JSON Lines natively, from a source that blocks."""

import ast
import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from app_snippets.streaming.checks.common import Streamed, load, patched, require_whole, streamed
from workbench import clock
from workbench.around import Heartbeat, burst, heartbeat
from workbench.clock import until
from workbench.judge import (
    Answer,
    Held,
    Probe,
    calls,
    error_of,
    exercise,
    ms,
    nodes,
    quoted,
    require_pings,
    where_it_is,
)
from workbench.server import LiveServer

PATH = "/readings"
ROWS, EACH = 6, 0.06  # rows, and seconds that the archive takes for each
AHEAD, PATIENCE = 3, 0.8  # rows that the archive is ahead of the client at most, and seconds that it waits then
END = 1.5  # seconds in which a stream must come a step further
LOOKED = 0.01  # seconds that a line must hold the loop to be seen
MOST_HELD = ROWS / 2  # rows, or the seconds that these take, without a turn of the loop; a wrong answer gives it none
TOGETHER = "two calls at once"
TRIED = f"`{PATH}` of an archive that takes {ms(EACH)} for each of {ROWS} rows, with a heartbeat on /ping"


class Rows:
    """What the answer reads: synchronous, slow, and with a field that nobody may see."""

    def __init__(self, server: LiveServer) -> None:
        self.given = 0
        self.lines = 0  # that are at the client
        self.late = -1  # lines that were there when the archive had waited in vain
        self.ended = False
        self.on_the_loop = 0  # rows that were read in the thread of the server's loop
        self.without_a_turn = 0  # rows that took their time while the loop did nothing
        self.server = server

    def noted(self, piece: bytes) -> None:
        self.lines += piece.count(b"\n")

    def read(self) -> Iterator[dict[str, Any]]:
        for number in range(ROWS):
            if self.late < 0 and not wait(lambda: self.lines > self.given - AHEAD, PATIENCE):
                self.late = self.lines
            turned = threading.Event()
            self.server.loop.call_soon_threadsafe(turned.set)  # type: ignore[union-attr]
            time.sleep(EACH)
            self.without_a_turn += not turned.is_set()
            self.on_the_loop += threading.current_thread() is self.server.thread
            self.given += 1
            yield row(number)
        self.ended = True


def row(number: int) -> dict[str, Any]:
    return {"sensor": f"S{number}", "celsius": 20 + number / 2, "password": "hunter2"}


def wait(condition: Callable[[], bool], most: float) -> bool:
    """Whether it comes to be so in time, for a thread."""
    end = clock.now() + most
    while not condition() and clock.now() < end:
        time.sleep(0.005)
    return condition()


STOP = (
    "The archive has no more rows, next() says so with StopIteration, and that cannot come out of a thread through "
    "`await`. Give next() a default, which it returns at the end: next(rows, None)."
)
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
    await load(answer)
    async with answer.served() as server:
        await burst(server, "/ping", 1)
        longest = await _trial(answer, server)
        await _together(answer, server)
        await _require_schema(server)
    return f"{ROWS} lines, the first one early, while /ping waited for {ms(longest)} at most."


async def _trial(answer: Answer, server: LiveServer) -> float:
    rows = Rows(server)
    patched(answer, "Archive", rows=lambda _: rows.read())
    with answer.watched(server, shortest=LOOKED) as held:
        async with heartbeat(server) as beat:
            streaming = asyncio.create_task(streamed(server, PATH, on_piece=rows.noted))
            ended = await until(streaming.done, END, lambda: (rows.given, rows.lines))
            where = "" if ended else where_it_is()
            if not ended:
                streaming.cancel()
    if not ended:
        raise Probe(TRIED, f"{ROWS} lines, and an end").saw(
            f"{rows.lines} lines, and then nothing: {where}",
            STOP if rows.ended and _names_next(answer) else f"The stream does not come to its end: {where}.",
        )
    require_pings(beat, TRIED)
    _require_lines(await streaming, rows)
    if rows.late >= 0:
        raise Probe(TRIED, f"each line at the client before {AHEAD} more rows have been read").saw(
            f"{rows.late} lines, when the archive had waited for the client to have one more",
            "The lines are right, and they are held back: rows are collected before they are yielded. Yield inside the "
            "loop that reads the archive, each row as it comes.",
        )
    _require_free(answer, rows, held, beat)
    return beat.longest


def _names_next(answer: Answer) -> bool:
    return any(name.id == "next" for name in nodes(answer.source, ast.Name))


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
    if found.cut_off and "StopIteration" in str(error_of(call)):
        raise Probe(TRIED, f"{ROWS} lines, and an end").saw(f"{rows.lines} lines, and then {error}", STOP)
    require_whole(found, TRIED, f"status 200 and {ROWS} lines")
    parsed = _parsed(text)
    whole = parsed[0] if len(parsed) == 1 else None
    if found.media_type == "application/json" and isinstance(whole, list):
        why = (
            "It is one JSON list: its first reading cannot leave before the last one is there. An endpoint that yields "
            "has no list."
        )
    elif found.media_type == "text/event-stream":
        why = (
            "These are server-sent events, another format. JSON Lines need no response_class: it is what FastAPI does."
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


def _require_free(answer: Answer, rows: Rows, held: list[Held], beat: Heartbeat) -> None:
    seconds = sum(one.seconds for one in held if one.seconds >= EACH / 2)
    line, times = Counter(map(str, held)).most_common(1)[0] if held else ("", 0)
    if rows.on_the_loop:
        why = "The endpoint is an `async def`, and the archive blocks: each row holds the loop, for everybody. "
        if any(
            calls(answer.source, name) for name in ("to_thread", "run_in_executor", "run_in_threadpool", "run_sync")
        ):
            why += (
                "To call rows() in a thread reads nothing yet: what is in a generator runs when next() asks for a row. "
            )
    elif rows.without_a_turn > MOST_HELD:
        why = "The rows are read in a thread, and the loop stands still until they are there. "
    elif times > ROWS / 2 or seconds > MOST_HELD * EACH:
        why = "The archive leaves the loop free, and something else blocks it, row after row. "
    else:
        return
    raise Probe(TRIED, "a loop that is free while the archive is read").saw(
        f"it was held{line and f' at {line}'}; a ping waited for {ms(beat.longest)}",
        f"{why}An endpoint that yields may be a plain `def`; then a worker thread fetches each item.",
    )


async def _together(answer: Answer, server: LiveServer) -> None:
    """Two calls at once: each asks the archive, and neither waits for the other."""
    asked = reading = most = 0

    def read() -> Iterator[dict[str, Any]]:
        nonlocal reading, most
        reading += 1
        most = max(most, reading)
        try:
            for number in range(ROWS):
                if number == 1:
                    wait(lambda: most > 1, PATIENCE)
                yield row(number)
        finally:
            reading -= 1

    def rows(_: object) -> Iterator[dict[str, Any]]:
        nonlocal asked
        asked += 1
        return read()

    patched(answer, "Archive", rows=rows)
    both = await asyncio.gather(*(streamed(server, PATH) for _ in range(2)))
    right = all(not found.cut_off and _parsed(found.call.text) == EXPECTED for found in both)
    if asked < 2:
        why = "What one call has read is kept, and another gets that or what is left of it. Call `rows()` in each."
        raise Probe(TOGETHER, "the archive asked twice").saw(f"asked {('never', 'once')[asked]}", why)
    if not right:
        why = (
            "One call by itself is right, and two get into each other: what they read from, or where they keep it, is "
            "a name that both use. Keep it inside of the endpoint."
        )
        seen = " and ".join(str(found.call.text.count("\n")) for found in both)
        raise Probe(TOGETHER, f"{ROWS} lines for each").saw(f"{seen} lines", why)
    if most < 2:
        why = "The calls take turns: the second reads nothing until the first is done. Nothing here needs a lock."
        raise Probe(TOGETHER, "both reading at the same time").saw("one after the other", why)


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
