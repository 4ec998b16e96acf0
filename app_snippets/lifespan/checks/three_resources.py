"""How the exercise "Three resources" is judged."""

import ast
import asyncio
import io
import re
import sys

from app_snippets.lifespan.checks.lives import (
    NAMES,
    SERVING,
    Broken,
    Closed,
    Story,
    all_that_is_logged,
    in_words,
    lived,
)
from workbench.judge import (
    FILE,
    Answer,
    Probe,
    calls,
    error_of,
    exercise,
    failure_in_words,
    innermost,
    nodes,
    place_in_words,
    said,
)


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
    """All is well; opens fail, closes fail, both in one life: what is open is closed, in reverse, and it is told."""
    with all_that_is_logged():
        await answer.load()
        fine = await lived(answer, Story("start and stop, with no fault", ()))
        _require_service(fine)
        _require_orderly(answer, fine)
        stories = [Story(in_words(faults), faults) for faults in FAULTS]
        ended = list(fine.log)
        await asyncio.gather(*(lived(answer, story) for story in stories))
    if fine.log != ended:
        raise Probe("a server, and others when it has stopped", "each closes what it has opened itself").saw(
            f"the first one's resources again: {', '.join(fine.log[len(ended) :][:3])}, …",
            "What was opened is kept where all servers share it, and the next one closes it again. Keep it in the "
            "lifespan.",
        )
    for story in stories:
        if story.faults[0].startswith("open"):
            _require_failed_start(story)
        _require_closed(answer, story)
        _require_told(answer, story, fine)
    return "What was opened was closed once, in reverse, whichever of them failed; and each failure was to be seen."


FAULTS = [
    ("open database",),
    ("open broker",),
    ("open client",),
    ("close broker",),
    ("close database",),
    ("close client",),
    ("close broker", "close database"),
    ("open broker", "close database"),
]


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
    error = error_of(call)
    seen = failure_in_words(call)
    if story.log == [SERVING]:
        why = "No line of your lifespan has run. FastAPI runs the one that it is given: `FastAPI(lifespan=lifespan)`."
        seen = {"seen": said(call), "diagnosis": why}
    elif story.did("open done") != NAMES or story.opened_late:
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


def _require_orderly(answer: Answer, story: Story) -> None:
    """With no fault: opened in order, closed once, in reverse, one after the other."""
    if story.opened_late:
        raise story.not_yet(
            "all three open before the first request",
            "The server takes requests from the `yield` on, and something is opened, or still being opened, after it. "
            "Await each `open()` above the `yield`.",
        )
    if story.did("open done") != NAMES:
        why = ""
        if not story.did("open"):
            why = "None of them was opened: `open()` without `await` is a call that has not begun. "
        raise story.not_yet(
            "open client, open database, open broker",
            why + "Each resource is opened once, in the order in which make_app gets them: the later ones may need the "
            "earlier ones.",
        )
    if story.side_by_side("open"):
        raise story.not_yet(
            "each open when the one before it is done",
            "They are opened side by side. The later ones may need the earlier ones: open one after another.",
        )
    closes = story.did("close")
    if story.left_open:
        raise story.not_yet("each of them closed at the stop", _why_not_closed(answer, story))
    if len(closes) > len(NAMES):
        raise story.not_yet(
            "each of them closed once",
            "Something is closed twice: once by hand and once more by a stack or a `finally`.",
        )
    if cut := [name for name in closes if name not in story.did("close done")]:
        raise story.not_yet(
            "each close awaited",
            f"The close of `{cut[0]}` began and was cut off: the lifespan ended, and the server with it, before that "
            "close was done. Await it.",
        )
    if story.side_by_side("close"):
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


def _why_not_closed(answer: Answer, story: Story) -> str:
    closes = story.did("close")
    if again := [name for name in closes if closes.count(name) > 1]:
        return (
            f"`{again[0]}` is closed {closes.count(again[0])} times, and others never. A function that names the "
            "loop's variable looks it up when it is called, at the end, when it is the last one. Register the method "
            "itself: `x.close`, without a lambda."
        )
    if error := re.findall(r"^(\w+Error: .*)", story.said, re.MULTILINE):
        why = f"At the stop, the lifespan raised {error[-1]}."
        if "'coroutine' object is not callable" in why:
            why += " A stack is given the function, `x.close`, and calls it at the end."
        elif "positional argument but" in why:
            why += " An exit is called with the error of the block, a callback without: push_async_callback."
        return why
    if isinstance(sys.stderr, io.StringIO) and "never awaited" in sys.stderr.getvalue():
        return "A close was called and not awaited, so it never began. A stack awaits with push_async_callback."
    if not closes and calls(answer.source, "AsyncExitStack"):
        return (
            "Nothing closes it when the server stops. A stack does what it was told at the end of its own "
            "`async with` block, or when its aclose() is awaited."
        )
    return "Nothing closes it when the server stops. What stands after the `yield` runs then, or an exit stack does."


def _require_failed_start(story: Story) -> None:
    probe = Probe(story.tried, "a server that does not start, and says why")
    if story.error is None:
        raise probe.saw(
            f"a server that runs: {story.in_words}",
            "The error was caught, and the server went on without what it needs: each request finds that out for "
            "itself. Close what is open, and let the error out: then the server does not start.",
        )
    if isinstance(story.error, Exception) and isinstance(_root(story.error), Broken):
        return
    seen = f"{story.in_words}, and `{type(story.error).__name__}: {story.error}`"
    if "didn't yield" in str(story.error):
        raise probe.saw(
            seen,
            "The error was caught, and the lifespan came to its end without a `yield`. The server does not start, and "
            "the reason is lost. Close what is open, and let the error out.",
        )
    line = place_in_words(innermost(story.error.__traceback__))
    raise probe.saw(
        f"{seen}, {line}".rstrip(", "),
        "The server does not start, and what `open()` raised is not told: another error comes out, and the first is "
        "not its cause. Let it out with `raise`, or raise another `from` it.",
    )


def _require_closed(answer: Answer, story: Story) -> None:
    closes, opened = story.did("close"), story.did("open done")
    if unopened := [name for name in closes if name not in opened]:
        raise story.not_yet(
            "only what was opened is closed",
            f"`{unopened[0]}` was closed and had never been opened: "
            + (
                "what runs after the failure closes all three, however far the opening came."
                if _try_around_the_yield(answer.source)
                else "its close was registered before it was open. First open, then register."
            ),
        )
    if len(closes) > len(set(closes)):
        raise story.not_yet("each closed once", "After a failure, something is closed for a second time.")
    if not story.left_open:
        if closes != opened[::-1]:
            raise story.not_yet("closed in reverse", "All is closed, and after the failure not in reverse order.")
        if story.side_by_side("close"):
            raise story.not_yet(
                "closed one after another", "All is closed, and after the failure no close waits for the one before it."
            )
        return
    left = " and ".join(f"`{name}`" for name in story.left_open)
    raise story.not_yet(f"{left} closed as well", _why_left(answer, story, left))


def _why_left(answer: Answer, story: Story, left: str) -> str:
    if failed := story.did("close failed"):
        if failed[-1] == "database" and nodes(answer.source, ast.ExceptHandler) and "ConnectionError" in answer.source:
            return (
                f"{left} stays open: `database.close()` raised an error that is no ConnectionError, and was not caught."
                " A close may raise any exception."
            )
        return (
            f"{left} stays open: the close before it, `{failed[-1]}.close()`, raised, and the lines after one that "
            "raises do not run, in a `finally` neither. Each close needs a `finally` of its own, or an exit stack, "
            "which goes on."
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


def _require_told(answer: Answer, story: Story, fine: Story) -> None:
    """A close that failed is in the log: by its error, by its resource, or in a line that is not there without it."""
    failed = story.did("close failed")
    usual = {text for _, text in fine.lines}
    lines = [(record, text) for record, text in story.lines if text not in usual]
    if not failed or any(f"close {name}: refused" in text for name in failed for _, text in lines):
        return
    for own in [record.getMessage() for record, _ in lines if record.pathname == FILE]:
        if not any(name in own for name in NAMES if name not in failed) and "open" not in own:
            return
    why = "All is closed, and nobody will ever know that a close failed: "
    if printed := [name for name in ("print", "print_exc") if calls(answer.source, name)]:
        why += f"{printed[0]}() writes to the terminal, and no log has it. Use a logger, or let the error out."
    elif any(calls(answer.source, level) for level in ("info", "debug")):
        why += "a logger leaves out what is below WARNING, unless it is told otherwise. Log it as an error."
    else:
        why += "the error was caught and dropped. Let it out of the lifespan when the others are closed, or log it."
    raise Probe(story.tried, "the failing close in the log").saw(
        f"{story.in_words}, and a log without a word of it", why
    )
