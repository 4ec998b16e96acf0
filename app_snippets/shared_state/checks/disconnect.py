"""E2: work that ends when its client leaves."""

import ast
import asyncio
import math
import os

from workbench import clock
from workbench.around import Call, Reply, Upstream, ask, upstream
from workbench.clock import until
from workbench.judge import Answer, NotYet, Probe, calls, exercise, failure_in_words, functions, nodes, said
from workbench.server import LiveServer

PATH = "/render"
LONG = 3.0  # seconds that the film takes which nobody waits for
SOON = 0.8  # seconds after which it counts as going on
PATIENCE = 3.0  # seconds that a client which stays waits for an answer
FILM = {"film": "rendered"}
LEAVES = "three clients, the second of which leaves while its film is rendered"


@exercise(
    "Nobody waits any more",
    asks_for="app",
    hints=[
        "The server knows that the client has left: a message says so. Who receives it while the handler awaits the "
        "film?",
        "Two things must run side by side: the film, and a wait for `http.disconnect` from request.receive(). "
        "Whichever ends first ends the other. And where must the seat be given back, so that it is not cancelled too?",
        "In try: async with anyio.create_task_group() as group: group.start_soon(cancel_when_left, request, "
        "group.cancel_scope), ask for the film, group.cancel_scope.cancel(). In finally, outside the group: give the "
        "seat back.",
    ],
)
async def disconnect(answer: Answer) -> str:
    """A client that stays has its film. One leaves: its film is dropped, the seat given back, others go on."""
    replies = {"/seat/take": Reply(0.02, {}), "/film": Reply(0.05, FILM), "/seat/back": Reply(0.05, {})}
    with upstream(replies) as services:
        os.environ["SERVICES_URL"] = services.url
        async with answer.served() as server:
            trials = _Trials(answer, server, services)
            await trials.stays()
            await trials.leaves()
            await trials.fails()
    return "The film was dropped when its client left, the seat was given back, and the others had theirs."


class _Trials:
    def __init__(self, answer: Answer, server: LiveServer, services: Upstream) -> None:
        self.answer, self.server, self.services = answer, server, services

    def seen(self, path: str) -> tuple[int, int, int]:
        """How often a path was asked for, finished, and abandoned."""
        log = self.services
        return log.asked.count(path), log.finished.count(path), log.abandoned.count(path)

    def all_done(self) -> bool:
        """Whether the answer is done with every request."""
        return all(one.done is not None for one in list(self.server.record.requests))

    async def get(self) -> Call:
        return await ask(self.server, PATH, timeout=PATIENCE)

    async def stays(self) -> None:
        self.require_film("one client that stays", await self.get())
        if not await until(lambda: self.seen("/seat/back")[1], SOON):
            raise Probe("one client that stays", "the seat given back").saw(
                "it is still taken",
                "Nobody left, and the seat is not given back: `/seat/back` must be asked for in any case.",
            )
        order = [path for path in self.services.asked if path != "/seat/take"]
        if order != ["/film", "/seat/back"] or self.seen("/seat/take")[0] != 1:
            raise Probe("one client that stays", "a seat taken, a film, the seat given back, once each").saw(
                ", ".join(self.services.asked),
                "The seat is for the film: take it first, and give it back once, when the film is done.",
            )

    async def fails(self) -> None:
        """The answer with the film breaks off: the client has an error, and the seat is given back."""
        self.services.forget()
        self.services.replies["/film"] = Reply(0.05, whole=False)
        tried = "one client that stays, and a film that breaks off"
        made = await self.get()
        back = await until(lambda: self.seen("/seat/back")[1], SOON)
        if made.status is None or made.status < 500:
            raise Probe(tried, "a status of 500 or above").saw(
                said(made),
                "The film failed, and its client is not told. Let the error out, or answer with one: only a client "
                "that has left needs no answer.",
            )
        if not back:
            raise Probe(tried, "the seat given back").saw(
                "it is still taken",
                "A film that fails keeps its seat. An exception leaves the function as a cancellation does: what must "
                "happen in any case stands in a `finally`, and not behind the film or in an `except` for one of them.",
            )
        if self.seen("/seat/back")[0] > 1:
            raise Probe(tried, "the seat given back, once").saw(
                "it was given back twice", "Give the seat back in one place."
            )

    def require_film(self, tried: str, made: Call) -> None:
        if made.status is None:
            self.server.grace = 0.1  # what hangs is not waited for
            raise Probe(tried, "the film").saw(
                f"no answer within {PATIENCE:g} s",
                "The film was done, and the handler waits on, for a client that stays: who waits for `http.disconnect` "
                "must be cancelled when the film is there, or the group never ends."
                if self.seen("/film")[1]
                else "The film was never done: the handler waits for something else before it.",
            )
        if made.status == 499 or (made.status == 200 and not made.parsed):
            raise Probe(tried, "the film").saw(
                said(made),
                "A client that is still there was taken for one that has left. The first message of `receive()` is the "
                "request itself, `http.request`: only `http.disconnect` says that the client has left."
                if tried != LEAVES
                else "A client that stayed lost its film when another one left. What is cancelled belongs to one "
                "request: keep it in a local variable, and not where all requests share it.",
            )
        if made.status != 200:
            raise Probe(tried, "the film").saw(**failure_in_words(made))
        if made.parsed != FILM:
            raise Probe(tried, f"`{FILM}`").saw(
                said(made),
                "The client stays, and its film does not arrive: what the service said for it must be returned.",
            )
        if "x-version" not in made.headers:
            raise Probe(tried, "the header `x-version`, from the middleware").saw(
                "no such header",
                "The middleware is gone. It stands for what others have put around your endpoint: leave it, and find a "
                "way that works behind it.",
            )

    async def leaves(self) -> None:
        """The client that leaves is the second of three: a deadline drops the first film, what is shared the last.

        Those of the others are done when one was dropped, or when it is clear that none is.
        """
        self.services.forget()
        left, goes_on = math.inf, False

        def over() -> bool:
            nonlocal goes_on
            dropped = bool(self.seen("/film")[2])
            goes_on = not dropped and clock.now() - left > SOON
            return dropped or goes_on

        self.services.replies["/film"] = Reply(0, FILM, ready=over)
        stayer = asyncio.create_task(self.get())
        await until(lambda: self.seen("/film")[0] or stayer.done(), PATIENCE)
        self.services.replies["/film"] = Reply(LONG, FILM)
        leaver = asyncio.create_task(self.get())
        await until(lambda: self.seen("/film")[0] >= 2 or stayer.done() or leaver.done(), PATIENCE)
        self.services.replies["/film"] = Reply(0, FILM, ready=over)
        last = asyncio.create_task(self.get())
        await until(lambda: self.seen("/film")[0] >= 3 or any(one.done() for one in (stayer, leaver, last)), PATIENCE)
        if self.seen("/film")[2]:  # before anybody has left
            self.give_up(leaver, stayer, last)
            raise self.not_yet(
                "the film dropped when its client leaves",
                "it was dropped before",
                "The film was cancelled while its client was still there. Only `http.disconnect` says that it has "
                "left. A deadline is no client that leaves, and the first message of a request is `http.request`, its "
                "body.",
            )
        if early := [one.result() for one in (stayer, leaver, last) if one.done()]:
            self.give_up(leaver, stayer, last)
            self.require_film(LEAVES, early[0])
            raise self.not_yet(
                "three films",
                f"{self.seen('/film')[0]} asked for, and an answer before it was done",
                "A client was answered before its film was done. Each request asks for a film of its own.",
            )
        leaver.cancel()
        left = clock.now()
        stayed = [await stayer, await last]
        if goes_on:
            self.give_up(leaver)
            back = self.seen("/seat/back")[0] >= 3
            raise self.not_yet("its film dropped", f"the film goes on {SOON:g} s later", self.why_it_goes_on(back))
        await until(lambda: self.seen("/film")[0] > 3 or self.all_done(), SOON)
        if self.seen("/film")[0] > 3:
            self.give_up(leaver)
            raise self.not_yet(
                "its film dropped",
                "the film was dropped, and asked for again",
                "The work was cancelled, and it caught the CancelledError and went on. Whoever catches it cleans up "
                "and raises it again.",
            )
        if (dropped := self.seen("/film")[2]) > 1:
            raise self.not_yet(
                "one film dropped",
                f"{dropped} of them",
                "A client that stayed lost its film, too. A deadline is no client that leaves, and what the requests "
                "share must not end them all: each has a message of its own, `http.disconnect`.",
            )
        for made in stayed:
            self.require_film(LEAVES, made)
        if not await until(lambda: self.seen("/seat/back")[1] >= 3, SOON):
            raise self.not_yet("all seats given back", "one is still taken", self.why_not_back())
        if self.seen("/seat/back")[0] > 3:
            raise self.not_yet(
                "all seats given back, once each", "one was given back twice", "Give the seat back in one place."
            )

    def give_up(self, *tasks: asyncio.Task[Call]) -> None:
        self.server.grace = 0.1  # what goes on is not waited for
        for task in tasks:
            task.cancel()

    def not_yet(self, expected: str, seen: str, diagnosis: str) -> NotYet:
        return Probe(LEAVES, expected).saw(seen, diagnosis)

    def why_it_goes_on(self, back: bool) -> str:
        """back: the seat of the film that goes on is given back."""
        tree = ast.parse(self.answer.source)
        if back and (calls(tree, "shield") or any(one.arg == "shield" for one in nodes(tree, ast.keyword))):
            return (
                "The handler has ended and the seat is given back, but the film goes on: shield() keeps a cancellation "
                "from what it wraps. It is for work that must be finished, and this must not."
            )
        if back:
            return (
                "The handler has ended and the seat is given back, but the film goes on, in a task that nobody has "
                "cancelled. To stop waiting for a task is not to stop it."
            )
        if calls(tree, "shield") or any(one.arg == "shield" for one in nodes(tree, ast.keyword)):
            return (
                "shield() keeps a cancellation from what it wraps: the film does not learn that nobody waits for it. "
                "It is for work that must be finished, and this must not."
            )
        polls = calls(tree, "is_disconnected")
        loops = nodes(tree, ast.While, ast.For, ast.AsyncFor)
        if polls and any(calls(loop, "is_disconnected") for loop in loops):
            return (
                "It is asked again and again, and is_disconnected() never says yes: it looks at what has arrived "
                "already, and behind a BaseHTTPMiddleware nothing ever has. A message must be waited for there: `await "
                "request.receive()`."
            )
        if polls:
            return (
                "is_disconnected() is asked once, and the client leaves later, while the film is awaited. Something "
                "must watch all the while, beside the film."
            )
        if any(calls(one, "receive") for one in functions(self.answer.source)):
            return (
                "Something waits for the message, and the film does not hear of it. What becomes of it when "
                "`http.disconnect` has come? The film must be cancelled."
            )
        return (
            "A client that leaves does not cancel a plain handler. The server notes it in a message, "
            "`http.disconnect`, and somebody must receive it while the film is awaited."
        )

    def why_not_back(self) -> str:
        asked, _, abandoned = self.seen("/seat/back")
        tree = ast.parse(self.answer.source)
        ends = [line for one in nodes(tree, ast.Try) for line in one.finalbody]
        ends += [line for one in nodes(tree, ast.ExceptHandler) for line in one.body]
        if abandoned or (asked < 3 and any("/seat/back" in ast.unparse(line) for line in ends)):
            return (
                "The clean-up was begun, and cancelled itself: it stands inside of what is cancelled, and there every "
                "further `await` is cancelled, too. Put it outside of the group that the watcher cancels."
            )
        return (
            "The film was dropped, and the line that gives the seat back was never reached: a cancellation leaves the "
            "function as an exception does. What must happen in any case stands in a `finally`."
        )
