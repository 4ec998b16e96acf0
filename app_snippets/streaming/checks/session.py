"""E3: a session that lives as long as the stream."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from typing import Any

from app_snippets.streaming.checks.common import Streamed, endpoint, load, patched, require_whole, streamed
from workbench import clock
from workbench.clock import until
from workbench.judge import Answer, Probe, exercise
from workbench.server import LiveServer

PATH = "/rows"
CLOSING = 0.02  # seconds that it takes to close a session
TOGETHER = 0.3  # seconds that one stream waits for the other to begin
SOON = 1.0  # seconds after which a session counts as left open
READ_ON = 5  # rows after the client has left; when its session is left open, 16 or more are read on and on, or 1 or 2
LEFT = "a client that leaves after the third row"
BROKEN = "a stream whose source fails at its fourth row"


@dataclass
class Life:
    """What became of one session."""

    opening: bool = False  # open() was called, and perhaps not awaited
    opened: bool = False
    asked_to_close: int = 0
    closing: bool = False
    closed: bool = False
    interrupted: bool = False
    refused: bool = False  # it was asked for a row while it was not open
    given: int = 0


class Database:
    """What the answer's sessions do while it is tried. `rows` each, and an error after `fails_after` of them."""

    def __init__(self) -> None:
        self.lives: dict[int, Life] = {}
        self.kept: list[Any] = []  # so that no two sessions have the same id
        self.rows, self.fails_after, self.each = 4, -1, 0.01
        self.reading = 0  # streams that read now
        self.together = 0  # the most that read at the same time

    def life(self, session: Any) -> Life:
        if id(session) not in self.lives:
            self.kept.append(session)
        return self.lives.setdefault(id(session), Life())

    def methods(self) -> dict[str, Any]:
        async def opened(session: Any) -> None:
            self.life(session).opened = session.is_open = True

        def open_it(session: Any) -> Coroutine[Any, Any, None]:
            self.life(session).opening = True
            return opened(session)

        def close(session: Any) -> Coroutine[Any, Any, None]:
            self.life(session).asked_to_close += 1
            return closed(session)

        async def closed(session: Any) -> None:
            life = self.life(session)
            life.closing = True
            try:
                await asyncio.sleep(CLOSING)
            except asyncio.CancelledError:
                life.interrupted = True
                raise
            session.is_open = False
            life.closed = True

        async def rows(session: Any) -> AsyncIterator[int]:
            life = self.life(session)
            self.reading += 1
            self.together = max(self.together, self.reading)
            try:
                for number in range(self.rows):
                    if number == 1:
                        await until(lambda: self.together > 1, TOGETHER)
                    if not life.opened or life.closed:
                        life.refused = True
                        raise RuntimeError("the session is closed")
                    if number == self.fails_after:
                        raise ConnectionError("the database has gone away")
                    life.given += 1
                    yield number
                    await asyncio.sleep(self.each)
            finally:
                self.reading -= 1

        return {"open": open_it, "close": close, "rows": rows}


@exercise(
    "A session that lives as long as the stream",
    asks_for="app",
    hints=[
        "When is the endpoint's function over, and when is its answer over? Which of the two ends the session here?",
        'A dependency with yield lives until the answer has gone out, unless its scope is "function". What happens to '
        "the lines after its yield when the stream fails?",
        "Depends(get_session), with no scope; and try: yield session, finally: await session.close().",
    ],
)
async def session(answer: Answer) -> str:
    """To the end, a client that leaves, and a source that fails: open in every row, and closed soon after."""
    await load(answer)
    database = Database()
    patched(answer, "Session", **database.methods())
    async with answer.served() as server:
        trials = _Streams(answer, server, database)
        await trials.to_the_end()
        await trials.left()
        took = await trials.broken()
    return f"Open in every row, and closed three times, {1000 * took:,.0f} ms after the failure."


class _Streams:
    def __init__(self, answer: Answer, server: LiveServer, database: Database) -> None:
        self.answer, self.server, self.database = answer, server, database
        self.left_behind: list[Life] = []  # those of a client that has left
        self.end: list[bytes] = []  # the lines after the rows, of a stream that was complete

    def begin(self, rows: int, fails_after: int = -1, each: float = 0.01) -> set[int]:
        self.database.rows, self.database.fails_after, self.database.each = rows, fails_after, each
        return set(self.database.lives)

    def since(self, before: set[int]) -> list[Life]:
        return [life for key, life in self.database.lives.items() if key not in before]

    async def closed(self, lives: list[Life]) -> bool:
        """Whether all are closed soon."""
        return await until(lambda: all(one.closed for one in lives), SOON)

    async def to_the_end(self) -> None:
        before = self.begin(rows=4)
        tried = "two streams of four rows, side by side, read to their end"
        both = await asyncio.gather(*(streamed(self.server, PATH) for _ in range(2)))
        lives = self.since(before)
        for life in lives:
            if life.refused:
                raise Probe(tried, "a session that is open in every row").saw(
                    "a row was asked of a session that was " + ("closed" if life.opened else "never opened"),
                    self.refused_in_words(life),
                )
        found: Streamed
        for found in both:
            require_whole(found, tried, "status 200 and four rows each")
        expected = [b"0", b"1", b"2", b"3"]
        if any(found.call.body.splitlines()[:4] != expected for found in both):
            raise Probe(tried, "the rows 0 to 3, a line each").saw(
                f"`{both[0].call.body.decode(errors='replace')[:60]!r}`",
                "The rows are complete, and they come as a list: the session is open for a moment, and the caller "
                "waits for the last row. Let the endpoint yield each row."
                if both[0].media_type == "application/json"
                else "The session is in order, perhaps, but the rows are not: yield what `session.rows()` yields.",
            )
        self.end = both[0].call.body.splitlines()[4:]
        if len(lives) < 2:
            raise Probe(tried, "a session for each stream").saw(
                "one session, opened for all" if len(lives) < 1 else "one session for both",
                "One session is shared by all requests. What one of them does to it, a commit or a failure, happens to "
                "the others too. Open one for each request.",
            )
        if not await self.closed(lives):
            raise Probe(tried, "both sessions closed soon after the last row").saw(
                "a session that is still open", self.open_in_words(lives)
            )
        if self.database.together < 2:
            raise Probe(tried, "both reading at the same time").saw(
                "one after the other",
                "The streams take turns: the second gets no row until the first has ended. Each has a session of its "
                "own, so nothing needs a lock.",
            )

    def open_in_words(self, lives: list[Life]) -> str:
        if any(life.closed for life in lives):
            return (
                "One of the two was closed, and the other never: both streams use one name for their session, and the "
                "second has taken the place of the first. Keep it in a variable inside of the function."
            )
        if any(life.asked_to_close and not life.closing for life in lives):
            return "close() was called and not awaited, and a coroutine that nobody awaits does nothing."
        return "Nobody closes the session, even when all goes well. Each one that is left open is missing in the pool."

    def refused_in_words(self, life: Life) -> str:
        if life.opening and not life.opened:
            return "open() was called and not awaited, and a coroutine that nobody awaits does nothing."
        if not life.opened:
            return "The session is used before anybody has opened it: `await session.open()` comes first."
        function = endpoint(self.answer, PATH)
        if function is None or inspect.isasyncgenfunction(function):
            return (
                "The session was closed before the first row was read. An endpoint that yields is over at once, as a "
                'function: its rows are fetched later. A dependency with scope="function" ends with the function; one '
                "without lives until the answer has gone out."
            )
        return (
            "The endpoint closed the session when it returned its response, and the response is only read after that. "
            "What the stream needs must be closed by something that outlives the endpoint: a dependency with yield."
        )

    async def left(self) -> None:
        before = self.begin(rows=100, each=0.03)
        lines = 0

        def leave(piece: bytes) -> bool:
            nonlocal lines
            lines += piece.count(b"\n")
            return lines >= 3

        await streamed(self.server, PATH, on_piece=leave)
        lives = self.since(before)
        given = sum(life.given for life in lives)
        if await self.closed(lives):
            self.left_behind = lives
            return
        if any(life.interrupted for life in lives):
            why = (
                "close() was begun and not finished. When the client leaves, the generator is cancelled, and so is "
                "every `await` in its `finally`. A dependency with yield is outside of what is cancelled."
            )
        elif any(life.closing for life in lives):
            why = "close() was begun, and it does not come to its end."
        elif sum(life.given for life in lives) > given + READ_ON:
            why = "The rows are read on and on for a client that has left."
        else:
            why = (
                "When the client leaves, the generator is cancelled where it waits: the lines after its loop are never "
                "reached. What must happen in any case stands in a `finally`, in a dependency with yield."
            )
        raise Probe(LEFT, "its session closed soon after").saw("it is still open", why)

    async def broken(self) -> float:
        before = self.begin(rows=6, fails_after=3)
        found = await streamed(self.server, PATH)
        lives, start = self.since(before), clock.now()
        if not await self.closed(lives):
            raise Probe(BROKEN, "its session closed soon after").saw(
                "it is still open",
                "A client that leaves is dealt with, and an error is not. It is raised where the session was handed "
                "out, and the lines after that are passed over. try and finally close it in any case.",
            )
        took = clock.now() - start
        lines = found.call.body.splitlines()
        if set(lines[:3]) & set(lines[3:]):
            raise Probe(BROKEN, "each row once").saw(
                f"the rows {', '.join(line.decode(errors='replace') for line in lines[:6])}",
                "After the failure the stream starts over, and the client gets its first rows again: what has been "
                "sent cannot be taken back. Do not try again inside a stream that has begun. Let the error out, or say "
                "in a last line that it is not complete.",
            )
        if not found.cut_off and lines[3:] == self.end:
            raise Probe(BROKEN, "a client that can tell that rows are missing").saw(
                f"status {found.call.status}, three rows, and an end as if it were complete",
                "The client is not told of the error: three of six rows look like all there are. Let it out, so that "
                "the connection breaks, or say in a last line that it is not complete.",
            )
        if any(life.refused for life in self.left_behind):
            raise Probe(LEFT, "no row asked for once its session is closed").saw(
                "a row was asked of the closed session",
                "Something still reads for a client that has left: a task of its own, which nobody cancels. Read in "
                "the stream itself, or cancel the task in a `finally`.",
            )
        return took
