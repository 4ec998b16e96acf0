"""The exercise "Not lost, not twice", while nobody is killed: what the relay does, and where."""

import asyncio
import contextlib
import gc
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import httpx

from app_snippets.background_work.checks.common import posted
from app_snippets.background_work.checks.mails import ONE_KEY, SOON, VAIN, Reluctant, Trials, new_address
from workbench import clock
from workbench.clock import until
from workbench.judge import FILE, Probe, innermost, ms, place_in_words, tasks_of_the_cell, where_it_waits
from workbench.server import LiveServer

SETTLED, AGAIN = 0.3, 6  # seconds, and looks of the relay, in which what is not marked is sent again and again
TRIES, ENOUGH = 3, 12  # calls of the service: while it is down; and those after which more are no progress
EVERY, BUSY = 0.05, 4.0  # seconds between two looks of the relay; looks in that time that are too many
LONGEST = 1.1  # seconds of a pause, which may take one
OFTEN = 4  # asks for one mail, after it was accepted, that are too many


@dataclass
class Undisturbed(Trials):
    ended_with: list[BaseException] = field(default_factory=list)  # what the answer's tasks raised
    twice: int = 0  # mails too many, after a second sign-up of the same address
    looks_per_pause: float = 0.0  # in the time in which the relay should pause once
    hurried: tuple[int, int, float] = 0, 0, EVERY  # as of Reluctant
    in_the_loop: int | None = None  # a line of the cell that asked the database in the event loop
    still_there: list[Any] = field(default_factory=list)  # tasks that go on when the server has stopped

    async def judge(self) -> None:
        """Nobody is killed. The service is down while two sign up; then it takes one mail, and refuses the other."""
        trial, ada, grace, alan = "undisturbed", new_address(), new_address(), new_address()
        os.environ.update(self.environment(trial))
        service = self.mails.refuses[trial] = Reluctant((ada, grace))
        tried = (
            "two sign-ups while the mail service is down; then it accepts one mail, and refuses the other twice more"
        )
        async with self.answer.served() as server:
            self.looks.lines.clear()
            with pauses_of_the_cell(server) as service.pauses:
                for address in (ada, grace):
                    self.require_created(await posted(server, f"/sign-up/{address}"), tried)
                await until(lambda: len(self.asked(trial)) >= TRIES or not tasks_of_the_cell(server), SOON)
                service.is_up = True
                await self._require_mails(server, trial, tried, ada, grace)
            self.hurried = service.hurried()
            await self._some_looks(VAIN)
            tried_then = "one more sign-up, some time later"
            self.require_created(await posted(server, f"/sign-up/{alan}"), tried_then)
            if not await until(lambda: self.mails.sent(trial, alan), SOON):
                raise Probe(tried_then, "a mail for it").saw(
                    "none",
                    "The first mails were sent, and the next one never: the relay looks into the outbox and comes to "
                    "its end. It must look again and again, as long as the server runs.",
                )
            for address in (ada, grace, alan):
                self.require_one(trial, address, tried)
            await posted(server, f"/sign-up/{ada}")
            before, since = self.looks.number, clock.now()
            await self._some_looks(AGAIN)
            await until(lambda: clock.now() >= since + SETTLED, SOON)
            for address in (grace, alan):  # somebody else may have sent it, a little later
                self.require_one(trial, address, tried_then)
            self.looks_per_pause = (self.looks.number - before) * EVERY / (clock.now() - since)
        self._require_quiet(trial, ada, grace, alan)
        self.twice = self.mails.sent(trial, ada) - 1
        self.in_the_loop = self.looks.lines.get(server.thread.ident or 0)
        self.still_there = tasks_of_the_cell(server)

    def require_the_rest(self) -> None:
        """What matters less than a mail that is lost, or sent twice, after a kill."""
        if self.twice:
            raise Probe("a second sign-up of the same address", "no second mail, whatever the answer is").saw(
                f"{1 + self.twice} mails",
                "A second sign-up of somebody who is a user already left a second row in the outbox. A row belongs to "
                "a new user: where no user was inserted, there is no mail to send.",
            )
        if self.still_there:
            raise Probe("to stop the server, which cancels the relay", "a relay that ends").saw(
                "it goes on",
                "The relay cannot be cancelled: a bare `except`, or `except BaseException`, catches the CancelledError "
                "too, and the loop goes on. Catch what can fail: httpx.HTTPError.",
            )
        if self.looks_per_pause > BUSY:
            raise Probe(f"{ms(SETTLED)} in which no mail is due", f"a look, and then a pause of {ms(EVERY)}").saw(
                f"{self.looks_per_pause / EVERY:.0f} looks in a second",
                "The relay looks into the outbox without a pause, and keeps a core and the database busy when nothing "
                "is due. `await asyncio.sleep(EVERY)` after each look, also when it found nothing.",
            )
        again, without, shortest = self.hurried
        if without > again / 2 and shortest < EVERY:
            raise Probe("a mail that is refused again and again", f"a pause of {ms(EVERY)} before the next ask").saw(
                f"no pause before {without} of {again} further asks",
                "A mail that was refused is asked for again at once, and a service that is down gets more requests "
                "than one that is well. `await asyncio.sleep(EVERY)` after each look, also when a mail was refused.",
            )
        if self.in_the_loop is not None:
            raise Probe("where the database is asked", "in threads, never in the event loop").saw(
                f"in the loop, at {place_in_words(self.in_the_loop)}",
                "It works, and it blocks: in an `async def`, sqlite3 holds the loop for as long as the database takes, "
                "and a locked one takes up to 5 s. Ask it in a `def`, and call that with asyncio.to_thread().",
            )

    async def _some_looks(self, number: int) -> None:
        before = self.looks.number
        await until(lambda: self.looks.number >= before + number, SOON)

    async def _require_mails(self, server: LiveServer, trial: str, tried: str, *addresses: str) -> None:
        """A mail for each: the relay goes on asking, and pauses for less than SOON."""

        def all_sent() -> bool:
            return all(self.mails.sent(trial, address) for address in addresses)

        if not await until(all_sent, SOON, lambda: min(len(self.asked(trial)), ENOUGH)):
            self.ended_with = _raised_by_tasks()
            (missing, *_) = [address for address in addresses if not self.mails.sent(trial, address)]
            asked = [address for address, _ in self.asked(trial)]
            raise Probe(tried, "a mail for each, once the service accepts it").saw(
                f"{times(asked.count(missing))} asked for one of them, and no mail",
                self._why_no_mail(server, trial, missing),
            )

    def _require_quiet(self, trial: str, *addresses: str) -> None:
        """No mail was asked for after it was accepted and marked, and each had a key of its own."""
        for address in addresses:
            often = [to for to, _ in self.mails.accepted[trial]].count(address)
            if often > OFTEN:
                raise Probe(
                    f"three sign-ups, and then nothing more for {AGAIN} looks of the relay",
                    "each mail asked for until it is accepted",
                ).saw(
                    f"{times(often)} asked for one mail after it was accepted",
                    "What is sent stays in the outbox as if it were not: it is sent again at every look. Mark it as "
                    "sent, and commit that, when the service has accepted it.",
                )
        keys = {key for _, key in self.mails.accepted[trial]}
        if len(keys) < len(addresses) and "" not in keys:
            raise Probe("three sign-ups", "a key for each mail").saw("one key for several", ONE_KEY)

    def _why_no_mail(self, server: LiveServer, trial: str, address: str) -> str:
        rows = self.rows(trial, address)
        asked = address in [to for to, _ in self.asked(trial)]
        for error in self.ended_with:
            if not isinstance(error, httpx.HTTPError):
                where = place_in_words(innermost(error.__traceback__))
                return (
                    f"A task ended with {type(error).__name__}: {error}, {where}. Nobody awaits it, so nobody told you."
                )
        if rows and all(rows):
            return (
                "The row is marked as sent, and the service never accepted the mail. Mark it when send() has come back "
                "without an exception, and not before; and mark that row only, by its key."
            )
        if rows and self.ended_with:
            return (
                "The relay has ended: what send() raises while the service is down left its loop, and nobody looks "
                "into the outbox any more. Catch httpx.HTTPError, and try that row again at the next look."
            )
        if rows and (waits := [place for task in tasks_of_the_cell(server) if (place := where_it_waits(task))]):
            return (
                f"The row is in the outbox, and nobody sends it: the relay has waited at {waits[0]}, for {SOON:g} s. "
                "It must look into the outbox, again and again, and pause for a second at most."
            )
        if rows and asked:
            return (
                "The relay has come to its end: the service refused a mail, and since then nobody looks into the "
                "outbox. It goes on with the next row, or with the next look."
            )
        if rows:
            return "The row is in the outbox, and nobody sends it: `relay` must look into the outbox, again and again."
        if asked and self.looks.inserted:
            return (
                "The service refused the mail for a while, and the row is no longer in the outbox: the mail was given "
                "up. What is due stays there until the service has accepted it."
            )
        if asked:
            return (
                "The service was down for a moment, and the mail is lost: a BackgroundTask is tried once, and nothing "
                "else says that a mail is due. Write it down in `outbox`, in the user's own transaction."
            )
        return (
            "Nothing is in the outbox, and nobody asked the service: a sign-up must leave a row there, and commit it."
        )


@contextlib.contextmanager
def pauses_of_the_cell(server: LiveServer) -> Iterator[list[float]]:
    """Note each pause, a wait of EVERY to LONGEST seconds, that a task of the cell begins in the server's loop."""
    loop, pauses = server.loop, list[float]()
    assert loop is not None
    call_at = loop.call_at

    def noting(when: float, *args: Any, **options: Any) -> Any:
        code = getattr(getattr(asyncio.current_task(), "get_coro", lambda: None)(), "cr_code", None)
        pause = when - loop.time()
        if code is not None and code.co_filename == FILE and 0.9 * EVERY <= pause <= LONGEST:
            pauses.append(pause)
        return call_at(when, *args, **options)

    with patch.object(loop, "call_at", noting):
        yield pauses


def times(number: int) -> str:
    return {0: "nobody", 1: "once"}.get(number, f"{number} times")


def _raised_by_tasks() -> list[BaseException]:
    tasks = [one for one in gc.get_objects() if issubclass(type(one), asyncio.Task)]
    ended = [one for one in tasks if one.done() and not one.cancelled()]
    return [error for one in ended if (error := one.exception()) is not None and innermost(error.__traceback__)]
