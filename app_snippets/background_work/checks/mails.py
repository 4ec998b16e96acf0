"""The mail service of the exercise "Not lost, not twice", and what all its trials have in common."""

import math
import secrets
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from fastapi import FastAPI, Header, Request
from fastapi.responses import JSONResponse

from app_snippets.background_work.checks.killing import Looks, Victim
from workbench import clock
from workbench.around import Call
from workbench.judge import Answer, Probe, calls, failure_in_words
from workbench.server import LiveServer

SOON = 2.0  # seconds for what comes soon, or not at all: the relay looks every 0.05
VAIN = 2  # looks, after the last mail, of which one has found nothing
ONE_KEY = (
    "Two mails have one key, and for one key the service sends one mail: the second user gets none. The key belongs to "
    "the row in the outbox."
)


@dataclass
class Mails:
    """The mail service: what it was asked for, in each trial, and how it answers there."""

    server: LiveServer = field(init=False)
    asked: dict[str, list[tuple[str, str]]] = field(default_factory=dict)  # by trial: (address, key)
    accepted: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    refuses: dict[str, Callable[[str], bool]] = field(default_factory=dict)  # by trial: whether to answer with 503
    kill: dict[str, Victim] = field(default_factory=dict)  # by trial: whom to kill when a mail is asked for

    def app(self) -> FastAPI:
        app = FastAPI(openapi_url=None)

        @app.post("/{trial}/mails")
        async def mails(trial: str, request: Request, idempotency_key: str | None = Header(None)) -> JSONResponse:
            address = str((await request.json())["to"])
            self.asked.setdefault(trial, []).append((address, idempotency_key or ""))
            refuses = self.refuses.get(trial)
            refused = refuses is not None and refuses(address)
            if not refused:
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
class Reluctant:
    """A service that is down until `is_up`. Then it accepts one of two mails, and refuses the other one twice more."""

    two: tuple[str, str]
    is_up: bool = False
    accepted: str = ""
    refused: int = 0
    pauses: list[float] = field(default_factory=list)  # of the relay, so far
    asks: dict[str, list[tuple[float, int]]] = field(default_factory=dict)  # by address: when, after how many pauses

    def __call__(self, address: str) -> bool:
        if address != self.accepted:
            self.asks.setdefault(address, []).append((clock.now(), len(self.pauses)))
        if not self.is_up:
            return True
        self.accepted = self.accepted or address
        if address not in self.two or address == self.accepted:
            return False
        self.refused += 1
        return self.refused <= 2

    def hurried(self) -> tuple[int, int, float]:
        """How often a refused mail was asked for again, how often without a pause, and the seconds at the least."""
        pairs = [pair for asks in self.asks.values() for pair in pairwise(asks)]
        without = sum(before == after for (_, before), (_, after) in pairs)
        return len(pairs), without, min((after - before for (before, _), (after, _) in pairs), default=math.inf)


@dataclass
class Trials:
    """Each has a name, and under it a database and an address of the mail service of its own."""

    answer: Answer
    mails: Mails
    folder: Path
    looks: Looks

    def environment(self, trial: str) -> dict[str, str]:
        return {"DATABASE": str(self.folder / f"{trial}.db"), "MAILS_URL": f"{self.mails.server.url}/{trial}"}

    def rows(self, trial: str, address: str) -> list[bool]:
        """Whether the rows of the outbox are marked as sent: only to choose the words of a diagnosis."""
        try:
            db = sqlite3.connect(self.folder / f"{trial}.db", timeout=1)
            try:
                return [bool(sent) for (sent,) in db.execute("SELECT sent FROM outbox WHERE address = ?", (address,))]
            finally:
                db.close()
        except sqlite3.Error:
            return []

    def asked(self, trial: str) -> list[tuple[str, str]]:
        return self.mails.asked.get(trial, [])

    def require_created(self, call: Call, tried: str) -> None:
        if call.status != 201:
            words = failure_in_words(call)
            if "HTTPStatusError" in words["seen"]:
                words["diagnosis"] = (
                    "The sign-up fails when the mail service does: the handler sends the mail itself. It writes down "
                    "that a mail is due, and answers; the relay sends it."
                )
            elif "outbox.key" in words["seen"]:
                words["diagnosis"] = ONE_KEY
            raise Probe(tried, "status 201").saw(**words)

    def require_one(self, trial: str, address: str, tried: str) -> None:
        number = self.mails.sent(trial, address)
        if number <= 1:
            return
        keys = [key for to, key in self.mails.accepted.get(trial, []) if to == address]
        if "" in keys:
            why = (
                "The mail went out twice: it was asked for again, without a key, so the service could not know that it "
                "is the same. Send the key of its row as the Idempotency-Key."
            )
        elif calls(self.answer.source, "add_task"):
            why = (
                "The mail went out twice: the relay sends it, and a BackgroundTask does, too, under another key. The "
                "sign-up only writes down that a mail is due."
            )
        else:
            why = (
                "The mail went out twice: it was asked for again under another key. A key that is made when the mail "
                "is sent is a new one each time. Make it once, with the row, and keep it there."
            )
        raise Probe(tried, "one mail").saw(f"{number} mails", why)


def new_address() -> str:
    return f"{secrets.token_hex(4)}@example.org"
