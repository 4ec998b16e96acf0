"""How the exercise "Not lost, not twice" is judged."""

import asyncio
import gc
import os
import secrets
import sqlite3
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from fastapi import FastAPI, Header, Request
from fastapi.responses import JSONResponse

from app_snippets.background_work.checks.common import posted
from app_snippets.background_work.checks.killing import (
    AFTER_COMMIT,
    BEFORE_COMMIT,
    LATER,
    Looks,
    Victim,
    counting_looks,
    victims,
)
from workbench import clock
from workbench.around import Call
from workbench.clock import until
from workbench.judge import Answer, NotYet, Probe, calls, exercise, failure_in_words, innermost, ms, place_in_words
from workbench.server import LiveServer, serve

NAME = "background_work/outbox"
SOON = 2.0  # seconds for what comes soon, or not at all: the relay looks every 0.05
VAIN = 2  # looks, after the last mail, of which one has found nothing
SETTLED, AGAIN = 0.3, 6  # seconds, and looks of the relay, in which what is not marked is sent again and again
OFTEN = 4  # asks for one mail, after it was accepted, that are too many


@exercise(
    "Not lost, not twice",
    asks_for="app",
    hints=[
        "Between the commit and the mail the process can die. Where must it be written, and when, that a mail is due?",
        "In the same transaction as the user, a row in `outbox`, with its key. The relay sends the rows that are not "
        "sent, and marks each when the service has accepted it.",
        "relay: while True: for each row WHERE NOT sent: try send(client, address, key), except httpx.HTTPError: "
        "continue; then UPDATE outbox SET sent = 1 WHERE key = ?; then asyncio.sleep(EVERY).",
    ],
    deadline=15,
)
async def outbox(answer: Answer) -> str:
    """A service that is down for a while; then the process is killed at three points, and started again."""
    with (
        victims(6) as waiting,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        counting_looks() as looks,
    ):
        mails = _Mails()
        with serve(mails.app(), name="mails") as service:
            mails.server = service
            trial = _Outbox(answer, mails, Path(folder))
            await answer.load()
            trials = (
                trial.undisturbed(looks),
                trial.before_commit(*waiting[0:2]),
                trial.after_commit(*waiting[2:4]),
                trial.mail_out(*waiting[4:6]),
            )
            outcomes = await asyncio.gather(*trials, return_exceptions=True)
            for outcome in outcomes:
                if isinstance(outcome, BaseException):
                    raise outcome
    return "Killed before the commit, after it, and with the mail out: each user has one mail, and nobody else has."


@dataclass
class _Mails:
    """The mail service: what it was asked for, in each trial, and how it answers there."""

    server: LiveServer = field(init=False)
    asked: dict[str, list[tuple[str, str]]] = field(default_factory=dict)  # by trial: (address, key)
    accepted: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    refuse: Counter[str] = field(default_factory=Counter)  # by trial: how many to answer with 503
    kill: dict[str, Victim] = field(default_factory=dict)  # by trial: whom to kill when a mail is asked for

    def app(self) -> FastAPI:
        app = FastAPI(openapi_url=None)

        @app.post("/{trial}/mails")
        async def mails(trial: str, request: Request, idempotency_key: str | None = Header(None)) -> JSONResponse:
            address = str((await request.json())["to"])
            self.asked.setdefault(trial, []).append((address, idempotency_key or ""))
            refused = self.refuse[trial] > 0
            if refused:
                self.refuse[trial] -= 1
            else:
                self.accepted.setdefault(trial, []).append((address, idempotency_key or ""))
            if (victim := self.kill.pop(trial, None)) is not None:
                victim.process.kill()  # last: when it has ended, the check goes on
            return JSONResponse("try again later", 503) if refused else JSONResponse("accepted", 202)

        return app

    def sent(self, trial: str, address: str) -> int:
        """The mails that went out to the address: one for each key, and one for each ask without a key."""
        keys = [key for to, key in self.accepted.get(trial, []) if to == address]
        return len({key for key in keys if key}) + sum(not key for key in keys)


@dataclass
class _Outbox:
    answer: Answer
    mails: _Mails
    folder: Path
    ended_with: list[BaseException] = field(default_factory=list)  # what the answer's tasks raised

    def environment(self, trial: str) -> dict[str, str]:
        return {"DATABASE": str(self.folder / f"{trial}.db"), "MAILS_URL": f"{self.mails.server.url}/{trial}"}

    async def undisturbed(self, looks: Looks) -> None:
        """Nobody is killed; the service is down at first."""
        trial, ada, grace = "undisturbed", _address(), _address()
        os.environ.update(self.environment(trial))
        self.mails.refuse[trial] = 2
        tried = "a sign-up while the mail service is down for its first two calls"
        async with self.answer.served() as server:
            call = await posted(server, f"/sign-up/{ada}")
            self._require_created(call, tried)
            await until(lambda: self.mails.sent(trial, ada), SOON)
            asked = len(self.mails.asked.get(trial, []))
            if not self.mails.sent(trial, ada):
                self.ended_with = _raised_by_tasks()
                raise Probe(tried, "a mail once the service is up again").saw(
                    f"{_times(asked)} asked for it, and no mail", self._why_no_mail(trial, asked)
                )
            before = looks.number
            await until(lambda: looks.number >= before + VAIN, SOON)
            self._require_created(await posted(server, f"/sign-up/{grace}"), "a second sign-up")
            if not await until(lambda: self.mails.sent(trial, grace), SOON):
                raise Probe("a second sign-up, some time after the first", "a mail for it").saw(
                    "none",
                    "The first mail was sent, and the second never: the relay looks into the outbox and comes to its "
                    "end. It must look again and again, as long as the server runs.",
                )
            before, since = looks.number, clock.now()
            await until(lambda: looks.number >= before + AGAIN and clock.now() >= since + SETTLED, SOON)
        for address in (ada, grace):
            keys = [key for to, key in self.mails.accepted[trial] if to == address]
            self._require_one(trial, address, tried, keys)
            if len(keys) > OFTEN:
                raise Probe(
                    f"two sign-ups, and then nothing more for {ms(clock.now() - since)}",
                    "each mail asked for until it is accepted",
                ).saw(
                    f"{_times(len(keys))} asked for one mail after it was accepted",
                    "What is sent stays in the outbox as if it were not: it is sent again at every look. Mark it as "
                    "sent, and commit that, when the service has accepted it.",
                )
        keys = {key for _, key in self.mails.accepted[trial]}
        if len(keys) < 2 and "" not in keys:
            raise Probe("two sign-ups", "a key for each mail").saw(
                "the same key for both",
                "Two mails have one key, and for one key the service sends one mail: the second user gets none. The "
                "key belongs to the row in the outbox.",
            )

    async def before_commit(self, first: Victim, second: Victim) -> None:
        trial, address = "before-commit", _address()
        tried = "kill -9 in a sign-up, just before its commit; then a new start"
        await self._start(first, trial, BEFORE_COMMIT)
        await _post(first, address)
        await asyncio.to_thread(first.kill)
        await self._restart(second, trial)
        await until(lambda: self.mails.sent(trial, address) or second.looks >= VAIN, SOON)
        known = await _users(second)
        sent = await until(lambda: self.mails.sent(trial, address), SOON if address in known else 0)
        if sent and address not in known:
            raise Probe(tried, "no user, and no mail").saw(
                "no user, and a mail for it",
                "The mail was asked for before the commit. Then the process died, and somebody who is no user was "
                "welcomed. What is not committed has not happened: publish it after the commit.",
            )
        if address in known and not sent:
            raise self._lost(tried)

    async def after_commit(self, first: Victim, second: Victim) -> None:
        trial, address = "after-commit", _address()
        tried = "kill -9 after the commit of a sign-up, before the service has accepted the mail; then a new start"
        self.mails.refuse[trial], self.mails.kill[trial] = 1_000_000, first
        await self._start(first, trial, AFTER_COMMIT)
        await _post(first, address)
        await until(lambda: not first.process.is_alive(), SOON)  # also for asking for the mail
        await asyncio.to_thread(first.kill)
        self.mails.refuse[trial] = 0
        await self._restart(second, trial)
        await until(lambda: self.mails.sent(trial, address), SOON)
        known, sent = await _users(second), self.mails.sent(trial, address)
        if sent and address not in known:
            raise Probe(tried, "no user, and no mail").saw(
                "no user, and a mail for it",
                "The outbox was committed, and then the process died before the user was: somebody who is no user was "
                "welcomed. Both rows belong in one transaction; two, in whatever order, leave a gap.",
            )
        if address in known and not sent:
            raise self._lost(tried, _rows(self.folder / f"{trial}.db", address))

    async def mail_out(self, first: Victim, second: Victim) -> None:
        trial, address = "mail-out", _address()
        tried = "kill -9 when the service has accepted the mail, before the app has heard of it; then a new start"
        self.mails.kill[trial] = first
        await self._start(first, trial, LATER)
        await _post(first, address)
        await until(lambda: self.mails.sent(trial, address), SOON)
        await asyncio.to_thread(first.kill)
        await self._restart(second, trial)
        await until(lambda: len(self.mails.accepted.get(trial, [])) > 1, SOON)
        keys = [key for to, key in self.mails.accepted.get(trial, []) if to == address]
        self._require_one(trial, address, tried, keys)

    def _require_one(self, trial: str, address: str, tried: str, keys: list[str]) -> None:
        if self.mails.sent(trial, address) <= 1:
            return
        raise Probe(tried, "one mail").saw(
            f"{self.mails.sent(trial, address)} mails",
            "The mail went out twice: it was asked for again, without a key, so the service could not know that it is "
            "the same. Send the key of its row as the Idempotency-Key."
            if "" in keys
            else "The mail went out twice: it was asked for again under another key. A key that is made when the mail "
            "is sent is a new one each time. Make it once, with the row, and keep it there.",
        )

    def _lost(self, tried: str, rows: list[int] | None = None) -> NotYet:
        if rows and any(rows):
            why = (
                "The row was marked as sent before the service had accepted the mail, and then the process died: the "
                "mail is lost, and the outbox says that it went out. Send first, and mark it afterwards."
            )
        elif rows:
            why = "The row is in the outbox, and nobody sends it after the new start: send what is found there."
        elif not calls(self.answer.source, "add_task"):
            why = (
                "The user is committed, and nothing is left that says that a mail is due. The row in the outbox must "
                "be written in the same transaction as the user: with a commit between them, the process can die there."
            )
        else:
            why = (
                "The mail was a BackgroundTask: a note in the memory of a process, and the process is gone. What must "
                "not be lost is written down, in the same transaction as the user, before the answer goes out."
            )
        return Probe(tried, "the user, and a mail").saw("the user, and no mail", why)

    def _why_no_mail(self, trial: str, asked: int) -> str:
        rows = _rows(self.folder / f"{trial}.db", None)
        for error in self.ended_with:
            if not isinstance(error, httpx.HTTPError):
                where = place_in_words(innermost(error.__traceback__))
                return (
                    f"A task ended with {type(error).__name__}: {error}, {where}. Nobody awaits it, so nobody told you."
                )
        if rows and all(rows):
            return (
                "The row is marked as sent, and the service never accepted the mail. Mark it when send() has come back "
                "without an exception, and not before."
            )
        if rows and asked:
            return (
                "The relay has ended: what send() raises while the service is down left its loop, and nobody looks "
                "into the outbox any more. Catch httpx.HTTPError, and try that row again at the next look."
            )
        if rows:
            return "The row is in the outbox, and nobody sends it: `relay` must look into the outbox, again and again."
        if asked:
            return (
                "The service was down for a moment, and the mail is lost: a BackgroundTask is tried once, and nothing "
                "else says that a mail is due. Write it down in `outbox`, in the user's own transaction."
            )
        return (
            "Nothing is in the outbox, and nobody asked the service: a sign-up must leave a row there, and commit it."
        )

    def _require_created(self, call: Call, tried: str) -> None:
        if call.status != 201:
            words = failure_in_words(call)
            if "HTTPStatusError" in words["seen"]:
                words["diagnosis"] = (
                    "The sign-up fails when the mail service does: the handler sends the mail itself. It writes down "
                    "that a mail is due, and answers; the relay sends it."
                )
            raise Probe(tried, "status 201").saw(**words)

    async def _start(self, victim: Victim, trial: str, point: str) -> None:
        if not await victim.serve(self.answer.source, NAME, self.environment(trial), point):
            raise Probe("to start your app in a process of its own", "an app that starts").saw(
                victim.said or "the process ended",
                "The app starts in this process, and not in another one: what it needs must be in the cell.",
            )

    async def _restart(self, victim: Victim, trial: str) -> None:
        if not await victim.serve(self.answer.source, NAME, self.environment(trial), LATER):
            raise Probe(
                "to start your app again, after kill -9, with the database that is there", "an app that starts"
            ).saw(
                victim.said or "the process ended",
                "The app does not start a second time. Its start must work with a database that has tables, users and "
                "an outbox already.",
            )


def _address() -> str:
    return f"{secrets.token_hex(4)}@example.org"


def _times(number: int) -> str:
    return {0: "nobody", 1: "once"}.get(number, f"{number} times")


def _raised_by_tasks() -> list[BaseException]:
    tasks = [one for one in gc.get_objects() if issubclass(type(one), asyncio.Task)]
    ended = [one for one in tasks if one.done() and not one.cancelled()]
    return [error for one in ended if (error := one.exception()) is not None and innermost(error.__traceback__)]


async def _post(victim: Victim, address: str) -> bool:
    """A sign-up. Returns whether it was answered."""
    try:
        async with httpx.AsyncClient(base_url=victim.url, trust_env=False, verify=False, timeout=5) as client:
            await client.post(f"/sign-up/{address}")
    except httpx.HTTPError:
        return False
    return True


async def _users(victim: Victim) -> list[str]:
    try:
        async with httpx.AsyncClient(base_url=victim.url, trust_env=False, verify=False, timeout=5) as client:
            return list((await client.get("/users")).json())
    except (httpx.HTTPError, ValueError) as error:
        raise Probe("`GET /users`, after kill -9 and a new start", "the users in the database").saw(
            type(error).__name__,
            "`/users` does not answer as it did. It shows who is in the database: leave it as it was.",
        ) from None


def _rows(database: Path, address: str | None) -> list[int]:
    """Whether the rows of the outbox are marked as sent: only to choose the words of a diagnosis."""
    try:
        db = sqlite3.connect(database, timeout=1)
        try:
            where, values = ("WHERE address = ?", (address,)) if address else ("", ())
            return [bool(sent) for (sent,) in db.execute(f"SELECT sent FROM outbox {where}", values)]
        finally:
            db.close()
    except sqlite3.Error:
        return []
