"""E1: a CSV export that says what the table says, early, and without holding it."""

import asyncio
import csv
import io
import re
import secrets
import threading
import tracemalloc
from collections.abc import AsyncIterator, Iterable

from app_snippets.streaming.checks.common import Streamed, load, patched, require_whole, streamed
from workbench.clock import until
from workbench.judge import Answer, NotYet, Probe, exercise, quoted
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
    """Rows that break what is put together by hand. They are 13, so that no piece of a few rows is full at the end."""
    return [
        (f"Plain {secrets.token_hex(3)}", "none", 5),
        ("Screw, 4 mm", "a,b,c", 7),
        ('Pipe 3"', 'so "called"', 1_234_567),
        ("two\nlines", "then\r\nthree\r\nmore", 12),
        ("Ærøskøbing ☂", "", 1),
        *((f"{first}SUM(A1)", f"{first} per cent", -number) for number, first in enumerate(FORMULA)),
        ("a=b ", "  o'clock - 5", 4),
        ('=HYPERLINK("http://x.example","a, b")', "-12", -3),
    ]


class Table:
    """What the answer reads: rows, counted as they are given. It waits for the client to have one.

    together: how many read it at the same time; none of them gets its first row before all have begun.
    """

    def __init__(self, rows: Iterable[Row], held_at: int = -1, together: int = 1) -> None:
        self.rows, self.held_at, self.together = rows, held_at, together
        self.given = self.readers = 0
        self.arrived = threading.Event()  # a row is at the client

    async def read(self) -> AsyncIterator[Row]:
        self.readers += 1
        await until(lambda: self.readers >= self.together, PATIENCE)
        for row in self.rows:
            if self.together > 1:
                await asyncio.sleep(0.002)  # the others get a turn
            if self.held_at > 0 and self.given and self.given % self.held_at == 0:
                await until(self.arrived.is_set, PATIENCE if self.given == self.held_at else AGAIN)
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
    await load(answer)
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
        rows, tried = hostile(), "an export of rows with commas, quotes, newlines and formulas in them"
        table = self.fill(Table(rows))
        found = await streamed(self.server, PATH)
        require_whole(found, tried, f"status 200 and {len(rows)} rows")
        if not table.given:
            raise Probe(tried, "the rows of `Orders.rows()`").saw(
                "nobody asked for them", "The export is not made of the orders. Read them from `orders.rows()`."
            )
        require_rows(found, rows, tried)
        if found.media_type != "text/csv":
            raise Probe(tried, "the media type `text/csv`").saw(
                f"`{found.media_type}`",
                "The rows are right, and the client is not told that they are CSV. A subclass of StreamingResponse "
                "with `media_type`, given as response_class, says it here and in the documentation.",
            )
        await self.others(
            "an export of an empty table",
            [],
            "Other tables come out right, and this one has no row: its export is the header alone, with status 200. "
            "What waits for the first row, or sends the header with it, needs a way for none.",
        )
        await self.others(
            "two exports at once",
            rows,
            "An export by itself is right, and two at once get into each other: something outside of the endpoint "
            "keeps what is of both, such as a buffer, a list or a writer. Make one for each call.",
            together=2,
        )

    async def others(self, tried: str, rows: list[Row], why: str, together: int = 1) -> None:
        self.fill(Table(rows, together=together))
        for found in await asyncio.gather(*(streamed(self.server, PATH) for _ in range(together))):
            try:
                require_whole(found, tried, "status 200 and all rows")
                require_rows(found, rows, tried)
            except NotYet as refused:
                raise refused.because(why) from None

    async def early(self) -> None:
        rows: list[Row] = [("Customer", "none", number) for number in range(ROWS)]
        table = self.fill(Table(rows, HELD_AT))
        at_first_byte: int | None = None  # rows that the table had given when that was there
        at_first_row = 0

        def noted(piece: bytes) -> None:
            nonlocal at_first_byte, at_first_row
            at_first_byte = table.given if at_first_byte is None else at_first_byte
            if b"none" in piece and not table.arrived.is_set():
                at_first_row = table.given
                table.arrived.set()

        found = await streamed(self.server, PATH, on_piece=noted)
        tried = f"an export from a table that takes 1 s after the first {HELD_AT} of its {ROWS:,} rows"
        require_whole(found, tried, "status 200 and all rows")
        require_rows(found, rows, tried)
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
                "The first rows leave early, and something keeps rows: a buffer or a queue that grows, a list that is "
                "never emptied, or one that the later rows are collected in. Hold no more than a piece at a time.",
            )
        return peak


def require_rows(found: Streamed, rows: list[Row], tried: str) -> None:
    """The export is the header and these rows. Raises NotYet."""
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
        elif first.startswith(",".join(HEADER)):
            why = (
                "The header has no line end, and runs into what comes next. csv.writer ends each line by itself, with "
                "its lineterminator; what is joined by hand needs one."
            )
        return "the header first", quoted(first, 60), why
    if records == expected and len(lines) == len(records) + 1:
        return "", "", ""
    if records == expected:
        why = "writerow() ends its line by itself, and another line end was added."
        return f"{len(rows)} rows", "as many, and empty lines between them", why
    if records == expected[: len(records)]:
        why = (
            "All rows after that are missing: the loop ends too soon, or rows are collected for a piece that is never "
            "sent. What is left when the table has ended is yielded after the loop."
        )
        return f"{len(rows)} rows", f"the first {len(records)}" if records else "no row", why
    if records.count(records[0]) > 1 if records else False:
        why = (
            "Each piece has all the pieces before it in it: the buffer is read out, and not emptied. seek(0) and "
            "truncate() empty it."
        )
        return f"{len(rows)} rows", f"{len(records)}, and the first one {records.count(records[0])} times", why
    widths = sorted({len(record) for record in records})
    if widths != [3] or len(records) != len(expected):
        return (
            f"{len(rows)} rows of three fields",
            f"{len(records)} rows, of {' and '.join(map(str, widths))} fields",
            _broken(text),
        )
    for record, wanted, row in zip(records, expected, rows, strict=True):
        for got, want, original in zip(record, wanted, row, strict=True):
            if got != want:
                return f"`{want!r}`", f"`{got!r}`", _different(records, rows, got, original)
    raise AssertionError("they differ somewhere")


def harmless(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA) else text


def _broken(text: str) -> str:
    if "two" not in text:
        return "Some of the rows are missing in the export."
    if between := re.search(r"([^\w\s\"])Screw, 4 mm\1", text):
        return (
            f"The texts stand between two {between[1]}, and a reader of CSV knows the double quote alone. Leave the "
            "quotechar of csv.writer as it is."
        )
    if "\\" in text:
        return (
            "A backslash stands before what could break the line, and a reader of CSV takes that for a part of the "
            "text. csv.writer needs no escapechar: it puts quotes around the text, and doubles those within."
        )
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
    if '"two\nlines"' not in text or "\"'\rSUM" not in text:
        return (
            "A line end inside a text has no quotes around it. csv.writer puts them there as long as its "
            "lineterminator is left as it is."
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
        texts = [
            (name, text, cell == text)
            for record, row in zip(records, rows, strict=True)
            for name, cell, text in zip(HEADER, record, row, strict=True)
            if isinstance(text, str) and text.startswith(FORMULA)
        ]
        if all(bare for _, _, bare in texts):
            return (
                "As CSV it is right, and it is still dangerous: a spreadsheet runs a text that begins with one of "
                "FORMULA, with quotes or without. An apostrophe before it makes it a text."
            )
        for column in HEADER[:2]:
            if all(bare for name, _, bare in texts if name == column):
                return f"Every `{column}` goes out as it is. Each text can be a formula, in whatever column it stands."
        for first in FORMULA:
            if all(bare for _, text, bare in texts if text.startswith(first)):
                return (
                    f"Most formulas are harmless now, but not a text that begins with {first!r}: it is in FORMULA, too."
                )
        if got == original:
            return (
                f"{original!r} begins with {original[0]!r} and is a str: it gets its apostrophe, whatever comes after "
                "that. Others have theirs. Whether it looks like a number does not matter; an int is one."
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
