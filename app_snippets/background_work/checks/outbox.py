"""How the exercise "Not lost, not twice" is judged."""

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path

import httpx

from app_snippets.background_work.checks.killing import (
    AFTER_COMMIT,
    BEFORE_COMMIT,
    LATER,
    Victim,
    counting_looks,
    victims,
)
from app_snippets.background_work.checks.mails import SOON, VAIN, Mails, Trials, new_address
from app_snippets.background_work.checks.relaying import Undisturbed
from workbench.clock import until
from workbench.judge import (
    Answer,
    NotYet,
    Probe,
    calls,
    exercise,
)
from workbench.server import serve

NAME = "background_work/outbox"


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
        victims(7) as waiting,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        counting_looks() as looks,
    ):
        mails = Mails()
        with serve(mails.app(), name="mails") as service:
            mails.server = service
            await answer.load()
            undisturbed = Undisturbed(answer, mails, Path(folder), looks)
            killed = _Killed(answer, mails, Path(folder), looks)
            trials = (
                undisturbed.judge(),
                killed.before_commit(*waiting[0:2]),
                killed.after_commit(*waiting[2:4]),
                killed.mail_out(*waiting[4:7]),
            )
            judging = [asyncio.create_task(trial) for trial in trials]
            try:
                for trial in judging:  # what explains another failure comes first, and then nobody waits for the rest
                    await trial
            finally:
                for trial in judging:
                    trial.cancel()
                await asyncio.gather(*judging, return_exceptions=True)
            undisturbed.require_the_rest()
    return "Killed before the commit, after it, and with the mail out: each user has one mail, and nobody else has."


@dataclass
class _Killed(Trials):
    async def before_commit(self, first: Victim, second: Victim) -> None:
        trial, address = "before-commit", new_address()
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
            raise self._lost(trial, tried, address)

    async def after_commit(self, first: Victim, second: Victim) -> None:
        trial, address = "after-commit", new_address()
        tried = "kill -9 after the commit of a sign-up, before the service has accepted the mail; then a new start"
        self.mails.refuses[trial], self.mails.kill[trial] = (lambda _: True), first
        await self._start(first, trial, AFTER_COMMIT)
        await _post(first, address)
        await until(lambda: not first.process.is_alive(), SOON)  # also for asking for the mail
        await asyncio.to_thread(first.kill)
        left = self.rows(trial, address)
        del self.mails.refuses[trial]
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
            raise self._lost(trial, tried, address, left)

    async def mail_out(self, first: Victim, second: Victim, third: Victim) -> None:
        trial, address = "mail-out", new_address()
        tried = "kill -9 when the service has accepted the mail, before the app has heard of it; then a new start"
        self.mails.kill[trial] = first
        await self._start(first, trial, LATER)
        await _post(first, address)
        await until(lambda: self.mails.sent(trial, address), SOON)
        await asyncio.to_thread(first.kill)
        await self._restart(second, trial)
        await until(lambda: len(self.mails.accepted.get(trial, [])) > 1, SOON)
        before = second.looks
        await until(lambda: second.looks >= before + VAIN, SOON)
        self.require_one(trial, address, tried)
        await asyncio.to_thread(second.kill)
        asked = len(self.asked(trial))
        await self._restart(third, trial)
        await until(lambda: third.looks >= VAIN or len(self.asked(trial)) > asked, SOON)
        if len(self.asked(trial)) > asked:
            raise Probe("one more start, when the mail is out", "nobody asks for it again").saw(
                "it was asked for again",
                "That the mail is out is known in memory only, and forgotten with each start: then all mails that were "
                "ever sent are asked for again. Mark the row in the outbox, and commit that.",
            )

    def _lost(self, trial: str, tried: str, address: str, left: list[bool] | None = None) -> NotYet:
        """`left`: the rows that were in the outbox when the process was killed, whether they were marked."""
        rows = self.rows(trial, address)
        if left and any(left):
            why = (
                "The row was marked as sent before the service had accepted the mail, and then the process died: the "
                "mail is lost, and the outbox says that it went out. Send first, and mark it afterwards."
            )
        elif left and not rows:
            why = (
                "The row was in the outbox when the process died, and it is gone since the new start: what the app "
                "does when it starts empties the outbox. Leave in it what is due."
            )
        elif rows:
            why = "The row is in the outbox, and nobody sends it after the new start: send what is found there."
        elif self.looks.inserted and self.asked(trial):
            why = (
                "The row was taken out of the outbox before the service had accepted the mail, and then the process "
                "died: nothing says any more that it is due. Send first, and take it out, or mark it, afterwards."
            )
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
