"""How the exercise "Three resources" is judged."""

import ast
import asyncio
import io
import re
import secrets
import sys
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI

from workbench.around import ask
from workbench.judge import (
    Answer,
    NotYet,
    Probe,
    exercise,
    failure_in_words,
    innermost,
    nodes,
    place_in_words,
    said,
    where_it_is,
)
from workbench.server import ServeError, serve

NAMES = ["client", "database", "broker"]


class Broken(ConnectionError):
    """What a resource raises where it is told to fail."""


class Closed(RuntimeError):
    """What a resource raises when it is asked, and is not open."""


@dataclass
class Stand:
    """A resource that notes in a log what happens to it."""

    name: str
    log: list[str]
    fault: str
    answer: str = field(default_factory=lambda: secrets.token_hex(4))
    is_open: bool = False

    async def open(self) -> None:
        await self._do("open")

    async def close(self) -> None:
        await self._do("close")

    async def ask(self) -> str:
        if not self.is_open:
            raise Closed(f"the {self.name} is not open")
        return self.answer

    async def _do(self, what: str) -> None:
        self.log.append(f"{what} {self.name}")
        await asyncio.sleep(0.01)
        if self.fault == f"{what} {self.name}":
            self.log.append(f"{what} {self.name} failed")
            raise Broken(f"{what} {self.name}: refused")
        self.is_open = what == "open"
        self.log.append(f"{what} {self.name} done")


@dataclass
class Story:
    """What came of one server's life under one fault."""

    tried: str
    fault: str
    log: list[str]
    stands: list[Stand]
    started: bool = False
    error: BaseException | None = None  # why it did not start
    said: str = ""  # the server's log
    status: Any = None  # the call of /status

    def did(self, what: str) -> list[str]:
        """The resources of which the log says "open … done" or "close …", in order."""
        verb, _, end = what.partition(" ")
        return [name for one in self.log for name in NAMES if one == " ".join(filter(None, [verb, name, end]))]

    @property
    def left_open(self) -> list[str]:
        return [name for name in self.did("open done") if name not in self.did("close")]

    def not_yet(self, expected: str, diagnosis: str) -> NotYet:
        """What to raise when the log shows something else."""
        return Probe(self.tried, expected).saw(self.in_words, diagnosis)

    @property
    def in_words(self) -> str:
        """What happened, in short: `open client, open database ✘`."""
        failed = f"{self.fault} failed" in self.log
        begun = [one for one in self.log if len(one.split()) == 2]
        return ", ".join(f"{one} ✘" if failed and one == self.fault else one for one in begun) or "nothing"


@exercise(
    "Three resources",
    asks_for="make_app",
    hints=[
        "For each line of the lifespan: if it raises, which of the lines after it do not run, and what is open then?",
        "What is open must be closed whatever comes next. An AsyncExitStack keeps a list of that, and works through it "
        "in reverse, even if one of the closes fails.",
        "`async with AsyncExitStack() as stack:`, and after each `await x.open()` a "
        "`stack.push_async_callback(x.close)`. The `yield` is in the block too.",
    ],
)
async def three_resources(answer: Answer) -> str:
    """All is well; the second and the third open fail; the first close fails: what is open is closed, in reverse."""
    await answer.load()
    fine = await _lived(answer, "", "start and stop, with no fault")
    _require_service(fine)
    _require_orderly(fine)
    starts = [(f"open {name}", f"a start at which `{name}.open()` fails") for name in ("database", "broker")]
    stops = [(f"close {name}", f"a stop at which `{name}.close()` fails") for name in ("broker", "database")]
    stories = await asyncio.gather(*(_lived(answer, fault, tried) for fault, tried in starts + stops))
    for story in stories:
        if story.fault.startswith("open"):
            _require_failed_start(story)
        _require_closed(answer, story)
        if story.fault.startswith("close"):
            _require_said(story)
    return "What was opened was closed once, in reverse, whichever of them failed; and each failure was to be seen."


async def _lived(answer: Answer, fault: str, tried: str) -> Story:
    """One app's whole life: made, started, asked, stopped."""
    make_app = await answer.load()
    log: list[str] = []
    stands = [Stand(name, log, fault) for name in NAMES]
    story = Story(tried, fault, log, stands)
    app = make_app(*stands)
    if asyncio.iscoroutine(app):
        app.close()
    if not isinstance(app, FastAPI):
        raise Probe("`make_app(client, database, broker)`", "a FastAPI app").saw(
            f"a {type(app).__name__}", "make_app must return the app that it makes."
        )
    try:
        server = await asyncio.to_thread(serve, app, name=f"answer {fault}", start_timeout=2)
    except ServeError as error:
        story.error = error.__cause__ or error
        if not fault or not isinstance(_root(story.error), Broken):
            _refuse_start(story, error)
        return story
    story.started = True
    story.status = await ask(server, "/status", timeout=2)
    await asyncio.to_thread(server.stop)
    story.said = "\n".join(server.logs)
    return story


def _refuse_start(story: Story, error: ServeError) -> None:
    """The server did not start, and not because of the fault."""
    if story.fault and "didn't yield" in str(error):
        raise Probe(story.tried, "a server that does not start, and says why").saw(
            f"{story.in_words}, and `generator didn't yield`",
            "The error was caught, and the lifespan came to its end without a `yield`. The server does not start, and "
            "the reason is lost. Close what is open, and let the error out.",
        ) from error
    cause = error.__cause__
    where = place_in_words(innermost(cause.__traceback__)) or type(cause).__name__ if cause else where_it_is()
    raise Probe(story.tried, "an app that starts").saw(where, f"{error}") from error


def _root(error: BaseException) -> BaseException:
    """The first failure: what a lifespan raised instead has it as its cause or context."""
    while not isinstance(error, Broken):
        inner = error.__cause__ or error.__context__
        if isinstance(error, BaseExceptionGroup):
            inner = error.exceptions[0]
        if inner is None:
            return error
        error = inner
    return error


def _require_service(story: Story) -> None:
    call = story.status
    if call.status == 200 and call.parsed == [one.answer for one in story.stands]:
        return
    error = call.request.error if call.request else None
    seen = failure_in_words(call)
    if not story.log:
        why = "No line of your lifespan has run. FastAPI runs the one that it is given: `FastAPI(lifespan=lifespan)`."
        seen = {"seen": said(call), "diagnosis": why}
    elif story.did("open done") != NAMES:
        return
    elif isinstance(error, Closed):
        seen = {
            "seen": f"{story.in_words}; then `/status`: {error}",
            "diagnosis": "All is closed again before the first request: the block that closes it has ended when the "
            "lifespan comes to its `yield`. The `yield` belongs inside.",
        }
    elif isinstance(error, AttributeError) and "'State' object has no attribute" in str(error):
        lost = str(error).rpartition("attribute ")[2].strip("'")
        seen = {
            "seen": f"status 500: there is no `{lost}` in the state",
            "diagnosis": f"The endpoint looks for `{lost}` where nobody put it. What the lifespan yields is in "
            "`request.state`; `app.state` has what somebody set there. Yield it, and read it from `request.state`.",
        }
    elif call.status == 200:
        seen = {
            "seen": said(call),
            "diagnosis": "`/status` no longer asks the three resources that make_app was given.",
        }
    raise Probe("`/status`, with no fault", "what the three resources answer").saw(**seen)


def _require_orderly(story: Story) -> None:
    """With no fault: opened in order, closed once, in reverse, one after the other."""
    if story.did("open done") != NAMES:
        why = ""
        if not story.did("open"):
            why = "None of them was opened: `open()` without `await` is a call that has not begun. "
        raise story.not_yet(
            "open client, open database, open broker",
            why + "Each resource is opened once, in the order in which make_app gets them: the later ones may need the "
            "earlier ones.",
        )
    if "open database" in story.log and story.log.index("open database") < story.log.index("open client done"):
        raise story.not_yet(
            "each open when the one before it is done",
            "They are opened side by side. The later ones may need the earlier ones: open one after another.",
        )
    if story.left_open:
        why = "Nothing closes it when the server stops. What stands after the `yield` runs then, or an exit stack does."
        if error := re.findall(r"^(\w+Error: .*)", story.said, re.MULTILINE):
            why = f"At the stop, the lifespan raised {error[-1]}."
            if "'coroutine' object is not callable" in why:
                why += " A stack is given the function, `x.close`, and calls it at the end."
        elif isinstance(sys.stderr, io.StringIO) and "never awaited" in sys.stderr.getvalue():
            why = "A close was called and not awaited, so it never began. A stack awaits with push_async_callback."
        raise story.not_yet("each of them closed at the stop", why)
    closes = story.did("close")
    if len(closes) > len(NAMES):
        raise story.not_yet(
            "each of them closed once",
            "Something is closed twice: once by hand and once more by a stack or a `finally`.",
        )
    if story.log.index(f"close {closes[1]}") < story.log.index(f"close {closes[0]} done"):
        raise story.not_yet(
            "each close when the one before it is done",
            "They are closed side by side, as gather does it: the database goes while the broker may still need it to "
            "say good-bye. Close one after another.",
        )
    if closes != NAMES[::-1]:
        raise story.not_yet(
            "close broker, close database, close client",
            "They are not closed in reverse. What was opened later may still use what was opened before it.",
        )


def _require_failed_start(story: Story) -> None:
    if not story.started:
        return
    raise Probe(story.tried, "a server that does not start, and says why").saw(
        f"a server that runs: {story.in_words}",
        "The error was caught, and the server went on without what it needs: each request finds that out for itself. "
        "Close what is open, and let the error out: then the server does not start.",
    )


def _require_closed(answer: Answer, story: Story) -> None:
    closes, opened = story.did("close"), story.did("open done")
    if unopened := [name for name in closes if name not in opened]:
        raise story.not_yet(
            "only what was opened is closed",
            f"`{unopened[0]}` was closed and had never been opened: "
            + (
                "the `finally` closes all three, however far the opening came."
                if _try_around_the_yield(answer.source)
                else "its close was registered before it was open. First open, then register."
            ),
        )
    if len(closes) > len(set(closes)):
        raise story.not_yet("each closed once", "After a failure, something is closed for a second time.")
    if not story.left_open:
        if closes != opened[::-1]:
            raise story.not_yet(
                "closed in reverse", "All is closed, and not in reverse order once something has failed."
            )
        return
    left = " and ".join(f"`{name}`" for name in story.left_open)
    raise story.not_yet(f"{left} closed as well", _why_left(answer, story, left))


def _why_left(answer: Answer, story: Story, left: str) -> str:
    if story.fault.startswith("close"):
        if not any("close" in one for one in story.log):
            return f"{left} stays open: nothing was closed at all."
        return (
            f"{left} stays open: the close before it raised, and the lines after one that raises do not run, in a "
            "`finally` neither. Each close needs a `finally` of its own, or an exit stack, which goes on."
        )
    if (block := _try_around_the_yield(answer.source)) is not None:
        if not any(one.attr == "open" for part in block for one in nodes(part, ast.Attribute)):
            return (
                f"{left} stays open: the `try` begins when all three are open. An open that fails comes before it, so "
                "its `finally` is never reached."
            )
        return f"{left} stays open: the failing open ends the `try`, and what stands after it does not close {left}."
    if re.search(r"\.(push|enter|callback)", answer.source):
        return (
            f"{left} stays open: the stack did not know of it yet when the next open failed. Register each close as "
            "soon as its resource is open, and keep all of it inside the stack's block."
        )
    return (
        f"{left} stays open: the lifespan raised before it came to its `yield`, and what stands after the `yield` "
        "never ran."
    )


def _try_around_the_yield(source: str) -> list[ast.stmt] | None:
    """The body of the outermost try block that holds a yield."""
    blocks = (one.body for one in nodes(source, ast.Try))
    return next((block for block in blocks if any(nodes(part, ast.Yield) for part in block)), None)


def _require_said(story: Story) -> None:
    if "refused" in story.said:
        return
    raise Probe(story.tried, "the failure in the server's log").saw(
        f"{story.in_words}, and a log without a word of it",
        "All is closed, and nobody will ever know that one of the closes failed: the error was caught and dropped. Let "
        "it out of the lifespan when the others are closed, or log it.",
    )
