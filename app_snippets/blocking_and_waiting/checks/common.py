"""What the exercises of "Blocking and waiting" are judged with."""

from collections.abc import Callable
from typing import Any

from workbench.around import Call
from workbench.judge import FILE, Held, Probe, Trial, error_of, failure_in_words, leaves, ms

CALLS = 8
MOST = CALLS // 2  # so many are at the service at once, whatever waits for it; a thread pool has 5 or more
WAIT = 0.2  # seconds of each of the waits in the cell; who holds the loop for half of one, in all, blocks
AS_LONG = 0.95  # of a wait: one that takes less was cut short
TRIED = f"{CALLS} calls at once, with a heartbeat on /ping"

# What waits for a thread, by its name. It may be called on the loop's thread, and then the loop waits, too.
WAITS_FOR_A_THREAD = ("join", "result", "wait", "acquire")


def require_answered(tried: str, calls: list[Call]) -> None:
    """Every call was answered with 200. Raises NotYet."""
    for call in calls:
        if call.status != 200:
            raise Probe(tried, "status 200 for every call").saw(**_failure(call))


def require_free_loop(seen: Trial, who: Callable[[list[Held]], str]) -> None:
    """The cell does not hold the loop for half of a wait, what it builds aside. Raises NotYet."""
    blocking = [one for one in seen.held if one.calling != "__init__"]
    in_all = sum(one.seconds for one in blocking)
    if in_all > WAIT / 2:
        longest = max(one.seconds for one in blocking)
        raise Probe(TRIED, f"a loop that your code does not hold for {ms(WAIT / 2)}").saw(
            f"held for {ms(in_all)}, for up to {ms(longest)} at a time, and one ping waited {ms(seen.beat.longest)}",
            _waits_for_another(blocking) or who(blocking),
        )


def answers_otherwise(tried: str, call: Call, expected: Any) -> Exception:
    """What to raise when an answer is not the expected one."""
    return Probe(tried, f"`{expected}` from `{call.path}`").saw(
        f"`{call.text[:80]}`", f"`{call.path}` no longer answers with what it was given, in the form that it had."
    )


def _waits_for_another(held: list[Held]) -> str:
    for one in held:
        if one.task:
            return (
                f"`{one.task}` runs as a task of its own, and that task lives on the same loop: at {one}, it holds the "
                "loop for everyone. A task makes a coroutine concurrent; it does not make a blocking call wait."
            )
        if one.calling in WAITS_FOR_A_THREAD:
            return (
                f"The loop's own thread stands still at {one}, until another thread has done its part or the time is "
                f"up: `{one.calling}()` blocks as a sleep does. Only what is awaited gives the loop back, such as "
                "`await asyncio.to_thread(…)` or `await asyncio.sleep(…)`."
            )
    return ""


def _failure(call: Call) -> dict[str, str]:
    """What a call saw that was not answered with 200, and why: two mistakes about blocking calls have words here."""
    words = failure_in_words(call)
    for error in leaves(error_of(call))[:1]:
        if isinstance(error, TypeError) and "await" in str(error):
            words["diagnosis"] = (
                "What stands behind that `await` is nothing to wait for. The call is synchronous: it has done all of "
                "its work, and held the loop for as long, before `await` gets its result. It takes an asynchronous "
                "function there, or a thread: `await asyncio.to_thread(f, argument)`."
            )
        elif isinstance(error, TypeError) and "callable" in str(error) and not _ends_in_the_cell(error):
            words["diagnosis"] = (
                "What was handed on is no function, but the result of one: `to_thread(get(url))` calls get itself, in "
                "the loop. Pass the function and its arguments apart: `to_thread(get, url)`."
            )
    return words


def _ends_in_the_cell(error: BaseException) -> bool:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_code.co_filename == FILE
