"""E1: a CSV export that says what the table says, early, and without holding it."""

import asyncio
import csv
import io
import re
import secrets
import threading
import tracemalloc
from collections.abc import AsyncIterator, Iterable

from app_snippets.streaming.checks.common import Streamed, patched, streamed
from workbench import clock
from workbench.judge import Answer, Probe, exercise, failure_in_words, quoted, said
from workbench.server import LiveServer

PATH = "/orders.csv"
HEADER = ["customer", "note", "total"]
FORMULA = ("=", "+", "-", "@", "\t", "\r")
ROWS, HELD_AT = 1000, 100  # the slow table waits after so many rows
PATIENCE = 1.0  # seconds that it waits for the client to have one
AGAIN = 0.06  # seconds that it waits after as many more, as long as the client has none
LARGE, CELL = 1000, 4_000  # rows, and characters in each of their two texts: 8 MB
MOST = 6_000_000  # bytes of memory at any time; a hundred rows at a time need 4 MB with all their copies

Row = tuple[str, str, int]


def hostile() -> list[Row]:
    """Rows that break what is put together by hand."""
    return [
        (f"Plain {secrets.token_hex(3)}", "none", 5),
        ("Screw, 4 mm", "a,b,c", 7),
        ('Pipe 3"', 'so "called"', 0),
        ("two\nlines", "then\r\nthree\r\nmore", 12),
        ("Ærøskøbing ☂", "", 1),
        ("=1+1", "@SUM(A1)", -3),
        ("+44 20", "-5 per cent", -17),
        ("\tindented", "\rreturned", 2),
        ("a=b", "o'clock - 5", 4),
        ('=HYPERLINK("http://x.example","a, b")', "last", -1),
    ]


class Table:
    """What the answer reads: rows, counted as they are given. It waits for the client to have one."""

    def __init__(self, rows: Iterable[Row], held_at: int = -1) -> None:
        self.rows, self.held_at = rows, held_at
        self.given = 0
        self.arrived = threading.Event()  # a whole row is at the client

    async def wait(self, most: float) -> None:
        until = clock.now() + most
        while not self.arrived.is_set() and clock.now() < until:
            await asyncio.sleep(0.005)

    async def read(self) -> AsyncIterator[Row]:
        for row in self.rows:
            if self.held_at > 0 and self.given and self.given % self.held_at == 0:
                await self.wait(PATIENCE if self.given == self.held_at else AGAIN)
            self.given += 1
            yield row


@exercise(
    "A CSV export",
    asks_for="app",
    hints=[
        "Who knows how commas, quotes and newlines are written in CSV? And who knows how to send a row while the next "
        "one is being read?",
        "An endpoint that yields text, with a response_class whose media_type is text/csv. csv.writer calls the "
        "write() of whatever it is given, and writerow() returns what write() returned.",
        "class Line: def write(self, text): return text. Then yield csv.writer(Line()).writerow(…) for HEADER and for "
        "each row, with an apostrophe before a str that starts with one of FORMULA.",
    ],
)
async def csv_export(answer: Answer) -> str:
    """A round trip of hostile rows, the first row while the table is still read, and bounded memory."""
    await answer.load()
    async with answer.served() as server:
        trials = _Export(answer, server)
        await trials.round_trip()
        await trials.early()
        peak = await trials.memory()
    return f"Every row came back as it was. 8 MB went through at most {peak / 1e6:.1f} MB of memory."


class _Export:
    def __init__(self, answer: Answer, server: LiveServer) -> None:
        self.answer, self.server = answer, server

    def fill(self, table: Table) -> Table:
        patched(self.answer, "Orders", rows=lambda _: table.read())
        return table

    async def round_trip(self) -> None:
        rows = hostile()
        table = self.fill(Table(rows))
        found = await streamed(self.server, PATH)
        tried = "an export of ten rows with commas, quotes, newlines and formulas in them"
        require_whole(found, tried, "status 200 and ten rows")
        if not table.given:
            raise Probe(tried, "the rows of `Orders.rows()`").saw(
                "nobody asked for them", "The export is not made of the orders. Read them from `orders.rows()`."
            )
        try:
            text = found.call.body.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise Probe(tried, "text in UTF-8").saw(
                quoted(found.call.body, 60),
                "The bytes are not UTF-8, and a customer's name may need it. Yield str, or encode as UTF-8.",
            ) from None
        expected, seen, why = compared(text, rows)
        if why:
            raise Probe(tried, expected).saw(seen, why)
        if found.media_type != "text/csv":
            raise Probe(tried, "the media type `text/csv`").saw(
                f"`{found.media_type}`",
                "The rows are right, and the client is not told that they are CSV. A subclass of StreamingResponse "
                "with `media_type`, given as response_class, says it here and in the documentation.",
            )

    async def early(self) -> None:
        table = self.fill(Table((("Customer", "none", number) for number in range(ROWS)), HELD_AT))
        lines = 0
        at_first_byte: int | None = None  # rows that the table had given when that was there
        at_first_row = 0

        def noted(piece: bytes) -> None:
            nonlocal lines, at_first_byte, at_first_row
            at_first_byte = table.given if at_first_byte is None else at_first_byte
            lines += piece.count(b"\n")
            if lines >= 2 and not table.arrived.is_set():
                at_first_row = table.given
                table.arrived.set()

        found = await streamed(self.server, PATH, on_piece=noted, keep=False)
        tried = f"an export from a table that takes 1 s after the first {HELD_AT} of its {ROWS:,} rows"
        require_whole(found, tried, "status 200 and all rows")
        if table.arrived.is_set() and at_first_row <= HELD_AT:
            return
        if at_first_row < ROWS:
            why = (
                f"Rows leave in pieces, and the first piece was not full yet when the table paused: {at_first_row:,} "
                f"rows had been read by then. Send {HELD_AT} at a time, or each one as it comes."
            )
        elif "content-length" in found.call.headers:
            why = (
                "The export is made as a whole and sent when it is complete; its Content-Length header, which needs "
                "the last row, shows it. Let the endpoint yield instead."
            )
        elif (at_first_byte or 0) <= HELD_AT:
            why = (
                "The header left early, and the rows did not: they were collected, and went out together at the end. "
                "Yield inside the loop that reads the table."
            )
        else:
            why = (
                "It is sent as a stream, but the list comes first: every row was read before the first one was "
                "yielded. Yield inside the loop that reads the table."
            )
        raise Probe(tried, f"the first row at the client before more than {HELD_AT} were read").saw(
            f"it came when {at_first_row or ROWS:,} of {ROWS:,} rows had been read", why
        )

    async def memory(self) -> int:
        large = ((f"{number}" + "x" * CELL, f"{number}" + "y" * CELL, number) for number in range(LARGE))
        self.fill(Table(large))
        tracemalloc.start()
        try:
            found = await streamed(
                self.server, PATH, keep=False, on_piece=lambda _: tracemalloc.get_traced_memory()[1] > MOST
            )
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        tried = f"an export of {LARGE:,} rows of 8 kB, 8 MB in all"
        require_whole(found, tried, "status 200 and all rows")
        if peak > MOST:
            raise Probe(tried, f"at most {MOST / 1e6:.0f} MB of memory at any time").saw(
                f"more than that: {peak / 1e6:.0f} MB",
                "The rows leave one by one, and something keeps them: a buffer that grows, or a list that is never "
                "emptied. What has been sent is not needed any more.",
            )
        return peak


def require_whole(found: Streamed, tried: str, expected: str) -> None:
    """The answer has status 200 and came to its end. Raises NotYet."""
    call = found.call
    if call.status == 200 and not found.cut_off:
        return
    seen = said(call) if call.status != 200 else f"status 200, and then {call.error}"
    words = failure_in_words(call)
    why = words["diagnosis"]
    error = call.request.error if call.request else None
    if found.cut_off and isinstance(error, AttributeError) and "encode" in str(error):
        why = (
            f"What was yielded is no text: StreamingResponse takes str or bytes, and it got {str(error).split()[0]} "
            "objects. Make each piece a line of text first."
        )
    elif found.cut_off and error is not None:
        why = f"The stream broke off after its status 200 had gone out. {why}"
    raise Probe(tried, expected).saw(seen, why)


def compared(text: str, rows: list[Row]) -> tuple[str, str, str]:
    """What was expected, what was seen, and a diagnosis, of a table that does not come back. Empty where it does."""
    lines = list(csv.reader(io.StringIO(text, newline="")))
    records = [line for line in lines[1:] if line]
    expected = [[harmless(cell) if isinstance(cell, str) else str(cell) for cell in row] for row in rows]
    if text.startswith('"customer,note,total'):
        why = (
            "FastAPI made JSON of each piece: an endpoint that yields is JSON Lines where it names no response_class. "
            "Give it one that is a StreamingResponse, and text goes out as it is."
        )
        return "the header first", quoted(text.splitlines()[0], 60), why
    if lines[:1] != [HEADER]:
        first = text.splitlines()[0] if text else ""
        why = "The first line is not `customer,note,total`. Send HEADER before the rows."
        if re.split(r"[;|\t]", first) == HEADER:
            why = "The fields are not separated by commas, as `text/csv` promises. csv.writer does so by itself."
        return "the header first", quoted(first, 60), why
    if records == expected and len(lines) == len(records) + 1:
        return "", "", ""
    if records == expected:
        why = "writerow() ends its line by itself, and another line end was added."
        return "ten rows", "ten rows, and empty lines between them", why
    if records.count(records[0]) > 1 if records else False:
        why = (
            "Each piece has all the pieces before it in it: the buffer is read out, and not emptied. seek(0) and "
            "truncate() empty it."
        )
        return "ten rows", f"{len(records)}, and the first one {records.count(records[0])} times", why
    widths = sorted({len(record) for record in records})
    if widths != [3] or len(records) != len(expected):
        return "ten rows of three fields", f"{len(records)} rows, of {_listed(widths)} fields", _broken(text)
    for record, wanted, row in zip(records, expected, rows, strict=True):
        for got, want, original in zip(record, wanted, row, strict=True):
            if got != want:
                return f"`{want!r}`", f"`{got!r}`", _different(records, rows, got, original)
    raise AssertionError("they differ somewhere")


def harmless(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA) else text


def _listed(widths: list[int]) -> str:
    return " and ".join(map(str, widths)) or "no"


def _broken(text: str) -> str:
    if not re.search(r"two\W+lines", text):
        return "Some of the rows are missing in the export."
    if '"Screw, 4 mm"' not in text:
        return (
            "The line is put together by hand: a comma or a newline in a text looks like the end of the field or of "
            "the row. csv.writer puts quotes around such a text."
        )
    if '""called' not in text:
        return (
            "There are quotes around the texts, and a quote inside a text looks like the end of it. csv.writer doubles "
            "those."
        )
    return "Read back with csv.reader, the export has other rows than the table. Let csv.writer write each row."


def _different(records: list[list[str]], rows: list[Row], got: str, original: str | int) -> str:
    if isinstance(original, int):
        if got.lstrip("'") == str(original):
            return (
                "A number became a text: -3 is no formula, and a sum over the column would leave it out now. Only a "
                "str can be a formula."
            )
        return f"The total {original} is not what arrives."
    if original.startswith(FORMULA):
        left = [
            first
            for first in FORMULA
            for record, row in zip(records, rows, strict=True)
            for cell, text in zip(record, row, strict=True)
            if isinstance(text, str) and text.startswith(first) and cell == text
        ]
        if set(left) == set(FORMULA):
            return (
                "As CSV it is right, and it is still dangerous: a spreadsheet runs a text that begins with one of "
                "FORMULA, with quotes or without. An apostrophe before it makes it a text."
            )
        if left:
            return (
                f"Most formulas are harmless now, but not a text that begins with {left[0]!r}: it is in FORMULA, too."
            )
        if got == original.strip("".join(FORMULA)) or got in original:
            return (
                "The dangerous character was cut off, and the text with it: a telephone number lost its +. Put an "
                "apostrophe before the text, and keep all of it."
            )
        return "A text that begins with one of FORMULA gets an apostrophe before it, and stays as it is otherwise."
    if got == f"'{original}":
        return (
            "An apostrophe stands before a text that is no formula. Only one of FORMULA at its very beginning counts."
        )
    if re.sub(r"\W", "", got) == re.sub(r"\W", "", original):
        return (
            "Commas, quotes or line ends were taken out of the text or replaced by something else, so that the line "
            "comes out right. The customer did not write that. csv.writer keeps them, in quotes."
        )
    return "The text that arrives is not the one in the table."
