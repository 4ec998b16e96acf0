"""How the exercise "Each task for itself" is judged."""

import ast
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from app_snippets.background_work.checks.common import (
    all_logged,
    at_work,
    errors_in,
    in_nobodys_hands,
    port_of_nobody,
    posted,
    printed,
    told_by,
)
from workbench.around import Call, Reply, Upstream, upstream
from workbench.around.services import MailServer, mail_server
from workbench.clock import until
from workbench.judge import (
    Answer,
    Held,
    NotYet,
    Probe,
    calls,
    error_of,
    exercise,
    failure_in_words,
    innermost,
    ms,
    nodes,
    place_in_words,
    quoted,
)
from workbench.server import LiveServer

MAIL = 0.3  # seconds that a mail takes in the first trial; who holds the loop for half of it sends the mail there
SETTLED = 0.6  # seconds in which nothing has happened any more, where something of the answer's goes on for ever
ENOUGH = 12  # lines, or calls of one kind, after which more of them are no progress
LATER = 0.1  # seconds after which the audit service answers while the newsletter fails: a group cancels it by then
LETTERS = "bcfghjkz"  # of an address: no SIGN can be in it
WORK = {"mail": "the welcome mail", "newsletter": "the newsletter", "audit": "the audit entry"}
# What the log may say of a failure: its exception, or its function; or, in a message of its own, what failed.
SIGNS = {
    "mail": (
        "SMTPServerDisconnected",
        "Connection unexpectedly closed",
        "ConnectionRefusedError",
        "send_welcome",
    ),
    "newsletter": ("503", "subscribe", "HTTPStatusError"),
    "audit": ("503", "HTTPStatusError"),
}
NAMES = {"mail": ("mail", "welcome"), "newsletter": ("newsletter", "subscri"), "audit": ("audit",)}


@exercise(
    "Each task for itself",
    asks_for="app",
    hints=[
        "A background task runs when the answer is out. Where, and when, would a `try` have to stand to see it fail?",
        "Give each task a wrapper: an `async def` that gets a function and its arguments, calls it in a `try`, and "
        "logs what it raises. Two of the three functions must be awaited. What does the third one need?",
        "In guarded(task, *arguments): await task(*arguments) for a coroutine function, else await "
        "run_in_threadpool(task, *arguments); except Exception: logger.exception(…). Then tasks.add_task(guarded, "
        "send_welcome, address), and so on.",
    ],
)
async def tasks(answer: Answer) -> str:
    """All well, then each part fails, alone and two at once: what was done, what the log says, who waited."""
    with mail_server() as mail, upstream({}, name="services") as services, port_of_nobody() as nobody:
        os.environ.update(SERVICES_URL=services.url, MAIL_HOST=mail.host, MAIL_PORT=str(mail.port))
        async with answer.served() as server:
            trials = _Tasks(answer, server, mail, services, nobody)
            with all_logged(server), in_nobodys_hands(server) as trials.unheld:
                ahead = await trials.all_well(MAIL)
                for down in ({"mail"}, {"newsletter"}, {"audit"}, {"mail", "newsletter"}):
                    await trials.with_failures(down)
                await trials.all_well(0.0)
                trials.require_held()
    return f"The answer was out {ms(ahead)} before the mail. Whatever failed, the rest was done, and the log says it."


@dataclass
class _Tasks:
    answer: Answer
    server: LiveServer
    mail: MailServer
    services: Upstream
    nobody: int  # a port at which every connection is refused
    address: str = ""
    held: list[Held] = field(default_factory=list)
    unheld: list[str] = field(default_factory=list)  # coroutines whose tasks nobody holds
    logged: int = 0  # lines in the log before the sign-up
    goes_on: bool = False  # what the sign-up began has not come to its end

    def done(self, what: str) -> bool:
        if what == "mail":
            return any(one.to == self.address for one in list(self.mail.messages))
        return f"/{what}/{self.address}" in self.services.finished

    def missing(self, down: set[str]) -> list[str]:
        """What could be done, and is not."""
        return [what for what in WORK if what not in down and not self.done(what)]

    def entries(self) -> list[str]:
        """What the log says since this sign-up, as warnings and errors."""
        return [line for line in list(self.server.logs)[self.logged :] if not line.startswith(("INFO", "DEBUG"))]

    def unsaid(self, down: set[str]) -> list[str]:
        """What failed, and is not in the log. Who names what is well besides has not said which failed."""
        told = told_by(self.entries())
        messages = [entry.partition("\n")[0].lower() for entry in self.entries()]
        named = [{what for what in WORK if any(name in message for name in NAMES[what])} for message in messages]
        return [
            what
            for what in WORK
            if what in down
            and not any(sign in told for sign in SIGNS[what])
            and not any(what in names <= down for names in named)
        ]

    def progress(self) -> tuple[int, ...]:
        """What shows that there is some. Not for ever: what tries again and again gets nowhere."""
        happened = len(self.server.logs) - self.logged, len(self.services.finished), len(self.mail.messages)
        return tuple(min(number, ENOUGH) for number in happened)

    async def sign_up(self, down: set[str], delay: float) -> Call:
        """One sign-up of an address of its own. Comes back when all that it began has come to its end."""
        self.address = f"{''.join(random.choices(LETTERS, k=8))}@example.org"
        self.mail.delay, self.mail.down = delay, "mail" in down
        # Down in two ways: it hangs up, or there is nobody at its port.
        os.environ["MAIL_PORT"] = str(self.nobody if {"mail", "newsletter"} == down else self.mail.port)
        for what in ("newsletter", "audit"):
            self.services.replies[f"/{what}/*"] = Reply(0, status=503 if what in down else 200)
        if down == {"newsletter"}:
            self.services.replies["/audit/*"] = Reply(LATER)
        self.services.forget()
        before, self.logged = at_work(self.server), len(self.server.logs)
        with self.answer.watched(self.server) as self.held:
            call = await posted(self.server, f"/sign-up/{self.address}")
            self.goes_on = not await until(lambda: at_work(self.server) <= before, SETTLED, self.progress)
            await until(lambda: not self.missing(down) and not self.unsaid(down), SETTLED, self.progress)
        if call.status is None or call.status >= 300:
            raise self._no_answer(call, down)
        return call

    async def all_well(self, delay: float) -> float:
        tried = f"one sign-up, while a mail takes {ms(delay)}" if delay else "one sign-up, when all is well again"
        call = await self.sign_up(set(), delay)
        if missing := self.missing(set()):
            raise Probe(tried, "a welcome mail, a newsletter subscription and an audit entry").saw(
                f"{_listed([WORK[what] for what in missing])} never came", self._why_not_done(missing)
            )
        if wrong := self.entries():
            raise Probe(tried, "no warning, and no error, in the log").saw(
                quoted(wrong[0].strip().splitlines()[-1]),
                "A coroutine runs in a thread, on a loop of its own, and the client that it uses belongs to the "
                "server's loop: its connections do not work elsewhere. Await it on the server's loop."
                if "Event loop is closed" in wrong[0]
                else "The log has a warning or an error, and nothing was down. Nobody will believe it when something "
                "is. If the line is your own, write it in an `except` only; if it is an exception, fix what raises it.",
            )
        (arrived,) = [one.at for one in self.mail.messages if one.to == self.address][:1]
        if delay and call.end > arrived:
            raise Probe(tried, "an answer before the mail has arrived").saw(
                f"the answer after {ms(call.latency)}, and the mail had arrived {ms(call.end - arrived)} before",
                "Everything is done, and the caller waits for it: the handler awaits the work, instead of leaving it "
                "to the BackgroundTasks, which run when the answer is out.",
            )
        longest = max(self.held, key=lambda one: one.seconds, default=None)
        if delay and longest and longest.seconds > MAIL / 2:
            raise Probe(tried, "a loop that is free while the mail is sent").saw(
                f"the loop held for {ms(longest.seconds)} at {longest}",
                "The mail is sent in the loop now, and everybody waits for it. BackgroundTasks run a `def` in a worker "
                "thread, but your wrapper is an `async def`, and it calls the function itself. run_in_threadpool(task, "
                "*arguments) does what FastAPI did before.",
            )
        return arrived - call.end

    async def with_failures(self, down: set[str]) -> None:
        call = await self.sign_up(down, 0.0)
        tried = f"one sign-up, while {_listed([_SERVICE[what] for what in WORK if what in down])} "
        tried += "are down" if len(down) > 1 else "is down"
        due = [what for what in WORK if what not in down]
        if missing := self.missing(down):
            raise Probe(tried, f"{_listed([WORK[what] for what in due])} nevertheless").saw(
                f"{_listed([WORK[what] for what in missing])} never came", self._why_dropped(call, down, missing)
            )
        if unsaid := self.unsaid(down):
            raise Probe(
                tried,
                "the failure in the log, as a warning or an error" if len(down) == 1 else "both failures in the log",
            ).saw(f"nothing about {_listed([_SERVICE[what] for what in unsaid])}", self._why_unsaid(down, unsaid))

    def require_held(self) -> None:
        if self.unheld:
            raise Probe("to find out who holds the tasks that you start", "somebody, until they are done").saw(
                f"nobody holds the task of `{self.unheld[0]}`",
                "The work is done in tasks, and nobody keeps what create_task() returned: the loop knows its tasks by "
                "weak references only, so they can be collected in the middle of their work. Leave it to the "
                "BackgroundTasks, or keep each task until it is done.",
            )

    # which mistake it is

    def _no_answer(self, call: Call, down: set[str]) -> NotYet:
        words = failure_in_words(call)
        if down and call.status == 500:
            words["diagnosis"] = (
                "The failure of something that nobody waits for became the caller's: the handler does the work itself, "
                "before it answers. Leave it to the BackgroundTasks, which run when the answer is out."
            )
        return Probe(
            "one sign-up" + (f", while {_listed([_SERVICE[one] for one in sorted(down)])} failed" if down else ""),
            "status 201",
        ).saw(**words)

    def _why_not_done(self, missing: list[str]) -> str:
        if "was never awaited" in printed():
            return (
                "A coroutine was made and never awaited. Your wrapper calls the function, and for an `async def` that "
                "makes a coroutine, and runs nothing of it. The wrapper must be an `async def`, and await it."
            )
        if "TypeError" in errors_in(self.server):
            line = errors_in(self.server).strip().splitlines()[-1]
            return (
                f"A background task ended with {line}. add_task takes a function and its arguments apart: add_task(f, "
                "x). add_task(f(x)) calls f at once, and hands on what it returned. And only what is awaitable can be "
                "awaited."
            )
        if any(one.arg == "background" for one in nodes(self.answer.source, ast.keyword)):
            return (
                "A response that brings its own background discards the injected BackgroundTasks: FastAPI attaches "
                "them only to what has none. Put all tasks in one place."
            )
        return (
            f"Nothing was down, and {_listed([WORK[what] for what in missing])} never came. Each of the three must "
            "still be handed to the BackgroundTasks, with its arguments."
        )

    def _why_dropped(self, call: Call, down: set[str], missing: list[str]) -> str:
        source = self.answer.source
        tries = nodes(source, ast.Try)
        if any(calls(ast.Module(one.body, []), "add_task") for one in tries):
            return (
                "The `try` stands around add_task, and add_task only notes what is to be done. The task runs later, "
                "when the answer is out and the `try` is over. The `try` must be in what the task runs."
            )
        if self.goes_on:
            return (
                f"What failed has not come to its end: {ms(SETTLED)} later, your code is still at it, and what stands "
                "behind it in the row waits. Who tries again needs an end: a few tries, and then a line in the log."
            )
        if calls(source, "TaskGroup"):
            return (
                "A TaskGroup belongs together: when one of its children fails, it cancels the others. That is right "
                "for one piece of work in parts, and wrong for three that have nothing to do with each other."
            )
        error = error_of(call)
        chain = [one for one in _chained(error) if innermost(one.__traceback__)]
        if len(chain) > 1:
            return (
                f"While the failure was dealt with, your code raised {type(chain[0]).__name__}: {chain[0]}, "
                f"{place_in_words(innermost(chain[0].__traceback__))}. That left the task, and ended the row: an "
                "`except` that raises guards nothing."
            )
        if error is None and not self.unsaid(down) and not calls(source, "gather"):
            return (
                "The failure is caught and logged, and what was to come after it never began: both hang on the same "
                "`try`, or on its success. Each of the three needs a `try` of its own, whatever became of the others."
            )
        if "ERROR sign-up" in told_by(self.entries()) and error is not None:
            return (
                "The failure is logged, and raised again: what leaves a background task ends the row, and the tasks "
                "after it never run. Once it is logged, it is dealt with."
            )
        if calls(source, "gather"):
            return (
                "gather() raises the first failure, and what comes after it is dropped. Ask it for all results, with "
                "return_exceptions=True, and log those that are exceptions; or let each task catch its own."
            )
        shown = [what for what in WORK if what not in missing and what not in down]
        if shown and tries:
            return (
                f"Some failures are caught, and not that of {_listed([_SERVICE[one] for one in sorted(down)])}: it "
                "ended the row. Any task can fail, and in any way: guard each of them, against every Exception."
            )
        if self.answer.changed("sign_up") and shown:
            return (
                "Another order does not make them independent: whichever task fails, those after it in the row are "
                "dropped. Each must catch, and log, what it raises itself."
            )
        left = f" Here it was {type(error).__name__}." if error is not None else ""
        return (
            "Background tasks run one after another, and one that raises ends the row: those after it never run, and "
            f"the caller, who has the answer, does not learn of it. Each task must catch what it raises itself.{left}"
        )

    def _why_unsaid(self, down: set[str], unsaid: list[str]) -> str:
        asked_for_all = any(one.arg == "return_exceptions" for one in nodes(self.answer.source, ast.keyword))
        if asked_for_all and len(down) > 1:
            return (
                "Two failed, and one is in the log: gather() handed out both exceptions, and only one result was "
                "looked at. Go through all results, and log each that is an exception."
            )
        if calls(self.answer.source, "gather") and len(down) > 1:
            return (
                "Two failed, and one is in the log: gather() raises the first failure only, and the second is seen by "
                "nobody. With return_exceptions=True it hands out all of them: log each."
            )
        if calls(self.answer.source, "gather"):
            return (
                "gather(return_exceptions=True) hands out the exceptions as results, and raises nothing. Nobody looked "
                "at them: log each result that is an exception."
            )
        if any(sign in printed() for what in unsaid for sign in SIGNS[what]):
            return (
                "The failure is printed, not logged. What is printed has no level and no place in the log of a server: "
                "logger.exception(…) says what failed, and where."
            )
        if calls(self.answer.source, "info") or calls(self.answer.source, "debug"):
            return (
                "The failure is logged at a level that is not shown: by default, Python shows warnings and above. A "
                "mail that never went out is an error."
            )
        if any(not line.startswith("INFO uvicorn") for line in list(self.server.logs)[self.logged :]):
            return (
                "The log has a line, and it does not say what failed, or why. logger.exception(…), called in the "
                "`except` block, adds the exception and where it was raised."
            )
        return (
            "The rest is done, and the failure is swallowed: nobody will ever know that this mail did not go out. "
            "Catching is half of it. Log what was caught, with logger.exception(…)."
        )


_SERVICE = {"mail": "the mail server", "newsletter": "the newsletter service", "audit": "the audit service"}


def _chained(error: BaseException | None) -> Iterator[BaseException]:
    """An exception, and those that were being dealt with when it was raised."""
    while error is not None:
        yield error
        error = error.__context__


def _listed(what: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(what[:-1]), *what[-1:]]))
