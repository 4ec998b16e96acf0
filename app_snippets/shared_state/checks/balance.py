"""E1: a balance that `def` and `async def` endpoints change."""

import ast
import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from workbench import clock
from workbench.around import Call, ask, burst
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
    functions,
    leaves,
    line_of_the_loop,
    ms,
    nodes,
    where_it_is,
)
from workbench.server import LiveServer
from workbench.server.record import Request

EACH = 8  # calls of a kind in a trial
MOMENT = 0.01  # seconds that the bank takes
LONG = 0.3  # seconds that it takes once, for a withdrawal among deposits; a line that holds the loop for half waits
HANGS = 1.0  # seconds in which nothing moves: no call comes, the bank is not asked, none is answered
REFUSAL = "the bank does not answer"
TIMEOUT = 8.0  # seconds that a call may take as long as something moves
STEPS = {"/deposit": 1, "/withdraw": -3}
TRIALS = {
    ("/deposit",): "deposits",
    ("/withdraw",): "withdrawals",
    ("/deposit", "/withdraw"): "deposits and withdrawals",
}


@dataclass
class Asked:
    """What the bank was asked: (step, balance) in the order in which its answers were ready."""

    log: list[tuple[int, int]] = field(default_factory=list)
    on_the_loop: int = 0
    long: float = 0.0  # seconds that the next withdrawal takes longer
    all_there: Callable[[], bool] = lambda: True  # whether all calls of the trial have come
    in_vain: bool = False  # a withdrawal has waited for them for LONG: where the loop is held, they cannot come
    refuses: Callable[[], object] | None = None  # what must hold before the next question is refused, None for no more
    refused: int = 0  # questions that ended so

    def refusal(self) -> Callable[[], object] | None:
        """Take what the next refusal waits for: it is for one question only."""
        taken, self.refuses = self.refuses, None
        self.refused += taken is not None
        return taken


@exercise(
    "One balance, two kinds of endpoint",
    asks_for="app",
    hints=[
        "Both endpoints read the balance, ask the bank, and write. Which lines must nobody else come between, and in "
        "which thread does each endpoint run?",
        "One lock must hold for both. An asyncio.Lock belongs to the loop, and a threading.Lock must not be waited for "
        "there. Can both endpoints live on the loop, without holding it?",
        "Make withdraw an async def too: async with account.lock: in both, and await "
        "asyncio.to_thread(account.bank.allow, balance) in it.",
    ],
)
async def balance(answer: Answer) -> str:
    """Deposits, withdrawals, a refusal of each, then both at once: no change lost or too many, a free loop."""
    await answer.load()
    asked = Asked()
    async with answer.served() as server:
        trials = _Trials(answer, server, asked)
        await trials.read_balance()
        _patch(answer, asked, server)
        for paths in TRIALS:
            if len(paths) == 2:
                for path in paths:
                    await trials.refused(path)
            took = await trials.run(paths)
    return f"{2 * EACH} changes at once, in {ms(took)}, and none is lost."


def _patch(answer: Answer, asked: Asked, server: LiveServer) -> None:
    """Let the bank note what it is asked, and take its moment when all have come who could come between."""
    bank = answer["Bank"]
    if not isinstance(bank, type):
        raise Probe("to watch what the bank is asked", "the class `Bank`, as given").saw(
            "no class `Bank`", "`Bank` stands for a service that is not yours to change. Leave it as it was."
        )

    async def confirm(_: Any, balance: int) -> None:
        if refusal := asked.refusal():
            await until(refusal, LONG)
            raise ConnectionError(REFUSAL)
        await until(asked.all_there, LONG)
        await asyncio.sleep(MOMENT)
        asked.log.append((1, balance))

    def allow(_: Any, balance: int) -> None:
        on_the_loop = threading.current_thread() is server.thread
        asked.on_the_loop += on_the_loop
        begun, refusal = clock.now(), asked.refusal()
        while refusal and not on_the_loop and not refusal() and clock.now() - begun < LONG:
            time.sleep(MOMENT / 2)
        if refusal:
            raise ConnectionError(REFUSAL)
        begun, long, asked.long = clock.now(), asked.long, 0.0
        while not on_the_loop and not asked.in_vain and not asked.all_there():
            time.sleep(MOMENT / 2)
            asked.in_vain |= clock.now() - begun > LONG
        time.sleep(MOMENT + long)
        asked.log.append((-3, balance))

    bank.confirm, bank.allow = confirm, allow  # type: ignore[attr-defined]


def _moves(server: LiveServer) -> tuple[int, int]:
    """How many requests a server has seen come and go."""
    requests = list(server.record.requests)
    return len(requests), sum(one.done is not None for one in requests)


def _as_calls(requests: list[Request]) -> list[Call]:
    """What a server saw, as calls: for those whose callers are still waiting."""
    return [
        Call(number, one.path, one.arrived, status=one.status if one.done else None, request=one)
        for number, one in enumerate(requests)
    ]


def _follow_each_other(asked: Counter[tuple[int, int]], balance: int, due: Counter[int]) -> bool:
    """Whether the changes that are due can follow each other, the bank asked about each balance before it changes.

    asked: how often about which (step, balance). due: how many of which step. Who asks again may have asked in vain.
    """
    if not due.total():
        return True
    for step in [one for one, left in due.items() if left and asked[one, balance]]:
        asked[step, balance] -= 1
        due[step] -= 1
        if _follow_each_other(asked, balance + step, due):
            return True
        asked[step, balance] += 1
        due[step] += 1
    return False


class _Trials:
    def __init__(self, answer: Answer, server: LiveServer, asked: Asked) -> None:
        self.answer, self.server, self.asked = answer, server, asked
        self.tried = ""

    async def read_balance(self) -> int:
        (made,) = (await burst(self.server, "/balance", 1, timeout=TIMEOUT)).calls
        try:
            return int(made.json())
        except (ValueError, TypeError):
            raise Probe("`GET /balance`", "the balance, a whole number").saw(**failure_in_words(made)) from None

    async def run(self, paths: tuple[str, ...]) -> float:
        """EACH calls of every path at once. Returns the seconds that they took."""
        self.tried = f"{EACH} " + f" and {EACH} ".join(TRIALS[(path,)] for path in paths) + " in the same moment"
        before = await self.read_balance()
        self.asked.log.clear()
        self.asked.on_the_loop, self.asked.in_vain = 0, False
        self.asked.long = LONG if len(paths) == 2 else 0.0
        due, record, known = EACH * len(paths), self.server.record, len(self.server.record.requests)
        self.asked.all_there = lambda: len(record.requests) - known >= due
        begun = clock.now()
        with self.answer.watched(self.server) as held:
            sending = asyncio.create_task(burst(self.server, list(paths), due, method="POST", timeout=TIMEOUT))
            ended = await until(sending.done, HANGS, lambda: (_moves(self.server), len(self.asked.log)))
            made = (await sending).calls if ended else _as_calls(list(record.requests)[known:])
            failed = [one for one in made if one.status is not None and one.status >= 300]
            answered = sum(one.status is not None for one in made)
            if not failed and answered < due:
                raise self.hangs(answered, due)
        took = clock.now() - begun
        sending.cancel()
        if failed:
            raise Probe(self.tried, "an answer to each").saw(**self.failure(failed[0]))
        after = await self.read_balance()
        expected = before + EACH * sum(STEPS[path] for path in paths)
        if after != expected:
            raise Probe(self.tried, f"a balance of {expected}").saw(f"{after}", self.why_lost(paths))
        self.require_asked(before, paths)
        if self.asked.on_the_loop:
            raise Probe(self.tried, "a loop that is free meanwhile").saw(
                f"`allow` was called on the loop, {self.asked.on_the_loop} times",
                "The balance is right, and everybody else waits: `allow` is synchronous, and it is called on the loop. "
                "`await asyncio.to_thread(account.bank.allow, balance)` leaves the loop free, and the lock may be held "
                "meanwhile.",
            )
        self.require_free(held)
        return took

    async def refused(self, path: str) -> None:
        """One call, and the bank raises. While it is asked, the balance is read."""
        what = path.removeprefix("/")
        self.tried = f"a {TRIALS[(path,)][:-1]}, while the bank raises a ConnectionError"
        before = await self.read_balance()
        read = asyncio.Event()
        self.asked.log.clear()
        known, self.asked.refuses, self.asked.all_there = self.asked.refused, read.is_set, lambda: True
        calling = asyncio.create_task(ask(self.server, path, method="POST", timeout=HANGS))
        await until(lambda: self.asked.refused > known or calling.done(), HANGS)
        reading = asyncio.create_task(self.read_balance())
        await until(reading.done, LONG / 2)  # where the lock is held for reading, too, it waits for the refusal
        read.set()
        meanwhile, made = await reading, await calling
        if made.status is None:
            raise self.hangs(0, 1)
        after = await self.read_balance()
        agreed = bool(self.asked.log)  # who has asked again may have heard a yes
        expected = before + agreed * STEPS[path]
        if after == expected and meanwhile not in (before, after):
            raise Probe(self.tried, f"a balance of {before} until the bank has said yes").saw(
                f"{meanwhile} while the bank is asked",
                f"`{what}` changes the balance before the bank has answered, and takes it back: meanwhile everybody "
                "reads, and the bank is asked about, what is not so. Read, ask, and write last.",
            )
        if after != expected or (made.status < 300 and not agreed):
            raise Probe(self.tried, "an error, and the balance as it was").saw(
                f"status {made.status}, and a balance of {after} after {before}",
                f"`{what}` answers as if all were well, and nothing was changed: the caller must hear of it. Let the "
                "exception pass."
                if after == before
                else f"The bank has not said yes, and `{what}` changes the balance all the same. Write after the bank "
                "has answered, and only then: an exception must pass over it.",
            )

    def require_free(self, held: list[Held]) -> None:
        if (longest := max(held, key=lambda one: one.seconds, default=None)) and longest.seconds > LONG / 2:
            raise Probe(self.tried, "a loop that is free meanwhile").saw(
                f"the loop held at {longest}, for {ms(longest.seconds)}",
                "The balance is right, and everybody else waits: a lock for threads is waited for on the loop, and "
                "nothing else runs there until its holder gives it back.",
            )

    def require_asked(self, before: int, paths: tuple[str, ...]) -> None:
        """The bank was asked for every change, about the balance that was then changed."""
        due = EACH * len(paths)
        if len(self.asked.log) < due:
            raise Probe(self.tried, f"{due} questions to the bank").saw(
                f"{len(self.asked.log)}",
                "The balance is right, but the bank was not asked about every change: `confirm` comes before a "
                "deposit, and `allow` before a withdrawal. An `async def` that is called and not awaited asks "
                "nothing, and in an executor or a task of its own it asks too late.",
            )
        if not _follow_each_other(Counter(self.asked.log), before, Counter({STEPS[path]: EACH for path in paths})):
            about = len({balance for _, balance in self.asked.log})
            asked, right = Counter(step for step, _ in self.asked.log), {STEPS[path]: EACH for path in paths}
            if asked != right:
                raise Probe(self.tried, "`confirm` asked about deposits, `allow` about withdrawals").saw(
                    f"`confirm` asked {asked[STEPS['/deposit']]} times, and `allow` {asked[STEPS['/withdraw']]} times",
                    "The sum is right, and the wrong function of the bank was asked: each kind of change has its own.",
                )
            raise Probe(self.tried, "the bank asked about each balance that is then changed").saw(
                f"{due} changes, and the bank was asked about {about} different balances",
                "The sum is right, and the bank was asked about the wrong balance: while it thought, another request "
                "changed it. Reading, asking and writing belong together, in one lock.",
            )

    # which mistake it is

    def hangs(self, answered: int, due: int) -> NotYet:
        there = line_of_the_loop(self.server)
        where = where_it_is()
        self.server.given_up = True  # nothing ends it; this process is thrown away
        self.server.stop()  # and nobody watches it any more
        if there:
            why = (
                "The whole server stands still. A lock for threads is held across an await: its holder waits for the "
                f"loop, to go on, and the loop waits at {there}, for the lock. Neither comes first. What is waited for "
                "on the loop must be awaited: asyncio.Lock."
            )
        elif any(calls(function, "run") for function in functions(self.answer.source)):
            why = (
                "An asyncio.Lock is used from two loops: asyncio.run() in a worker thread makes a loop of its own. "
                "When the lock becomes free, nobody wakes that loop, and it sleeps on. Keep everything that takes the "
                "lock on one loop."
            )
        elif self.asked.refused:
            why = (
                f"The bank has raised, and a lock was not given back: {where}. An exception passes over a `release()` "
                "that stands below. `async with` gives the lock back on every way out."
            )
        else:
            why = (
                f"A lock is taken and never given back: {where}. Is there a way out of the handler that passes "
                "over the release, or does somebody take a lock twice?"
            )
        return Probe(self.tried, f"{due} answers").saw(
            f"no answer to {due - answered} of them, and for {HANGS:g} s nothing moves", why
        )

    def failure(self, one: Call) -> dict[str, str]:
        words = failure_in_words(one)
        said = " ".join(str(error) for error in leaves(error_of(one)))
        if "different event loop" in said or "different loop" in said:
            words["diagnosis"] = (
                "An asyncio.Lock is used from two loops: asyncio.run() in a worker thread makes a loop of its own, and "
                "a lock that somebody had to wait for belongs to one loop. Keep everything that takes the lock on one."
            )
        elif ("context manager" in said and "ock" in said) or said in ("__enter__", "__aenter__"):
            words["diagnosis"] = (
                "`with` is for a threading.Lock, and `async with` for an asyncio.Lock. A `def` endpoint cannot await, "
                "so it cannot take an asyncio.Lock at all: make it an `async def`, and move what is synchronous in it "
                "to a thread."
            )
        elif "cannot be called from a running event loop" in said:
            words["diagnosis"] = (
                "asyncio.run() makes a loop of its own, and on this thread one runs already: in an `async def`, await "
                "the coroutine instead."
            )
        elif "no current event loop" in said or "no running event loop" in said:
            words["diagnosis"] = (
                "A `def` endpoint runs in a worker thread, and there is no loop there. What is awaited belongs in an "
                "`async def`."
            )
        elif isinstance(error_of(one), TimeoutError) or error_of(one) is None:
            words["diagnosis"] = (
                f"`{one.path}` gives up where another change is on its way, with status {one.status}. Every change "
                "must be made: whoever finds the lock taken waits for it."
            )
        return words

    def why_lost(self, paths: tuple[str, ...]) -> str:
        every = functions(self.answer.source)
        if len(paths) == 2:
            return (
                "Deposits alone are right, and withdrawals alone are right: each kind has a lock that the other does "
                "not know. An asyncio.Lock keeps tasks apart, a threading.Lock threads. One balance needs one lock "
                "that holds for both."
            )
        where = [one for one in every if one.name != "lifespan" and calls(one, "Lock")]
        if "RLock" in self.answer.source:
            return (
                "An RLock lets in whoever holds it already, and it goes by the thread: all tasks of a loop are one "
                "thread, so it keeps none of them apart. A lock that tasks wait for is an asyncio.Lock."
            )
        if where:
            return (
                f"`{where[0].name}` makes a lock each time that it is called. A lock keeps apart those who hold the "
                "same one: make it once, beside what it guards."
            )
        blocks = [
            block
            for one in every
            for block in nodes(one, ast.With, ast.AsyncWith)
            if "ock" in ast.unparse(block.items[0])
        ]
        asking = "confirm" if paths == ("/deposit",) else "allow"
        function = paths[0].removeprefix("/")
        if blocks and not any(asking in ast.unparse(block) for block in blocks):
            mine = [one for one in every if one.name == function]
            if any(block in list(ast.walk(one)) for one in mine for block in blocks):
                return (
                    "The lock is given back before the bank is asked, and the balance that was read grows old "
                    "meanwhile. It must be held from the reading to the writing."
                )
        if paths == ("/withdraw",):
            return (
                "Deposits are right, and withdrawals overwrite each other. `withdraw` is a `def`: it runs in many "
                "threads at once, and no lock of the loop keeps them apart."
                if not asyncio.iscoroutinefunction(self.answer["withdraw"])
                else "Deposits are right, and withdrawals overwrite each other: nothing keeps one from reading while "
                "another waits for the bank."
            )
        return (
            "Two requests read the same balance, both ask the bank, and the second to write overwrites the first: its "
            "change is lost. Nobody else may come between the reading and the writing."
        )
