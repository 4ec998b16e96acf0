"""What came of a call, in the words of a verdict."""

from workbench.around.load import Call
from workbench.judge.cell import innermost, place_in_words, where_it_is

SHOWN = 80  # characters of a body, and of an exception's message


def said(call: Call) -> str:
    """Status and body of an answer, or why there is none."""
    if call.status is None:
        return call.error or "no answer"
    return f"status {call.status}: `{call.body.decode(errors='replace')[:SHOWN]}`"


def error_of(call: Call) -> BaseException | None:
    """What the handler of a call raised, where it raised something."""
    return call.request.error if call.request else None


def leaves(error: BaseException | None) -> list[BaseException]:
    """The exceptions of a group, and of the groups in it. A single exception is its own leaf."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for one in error.exceptions for leaf in leaves(one)]
    return [error] if error else []


def failure_in_words(call: Call) -> dict[str, str]:
    """What a call that was not answered with 200 saw, and why, as NotYet's `seen` and `diagnosis`.

    Of a group of exceptions, the first one is named.
    """
    for error in leaves(error_of(call))[:1]:
        return _exception_in_words(call, error)
    if call.status is None:
        return {"seen": said(call), "diagnosis": f"`{call.path}` gave no answer: {where_it_is()}."}
    return {
        "seen": said(call),
        "diagnosis": f"`{call.path}` answers with status {call.status}. Its path and what it needs must stay as given.",
    }


def _exception_in_words(call: Call, error: BaseException) -> dict[str, str]:
    what = "coroutine" if "'coroutine'" in str(error) else "task" if "Task'" in str(error) else ""
    if what and type(error).__name__ == "PydanticSerializationError":
        return {
            "seen": f"status 500: {type(error).__name__}",
            "diagnosis": f"A {what} went into the answer, and not what it comes to. "
            + ("Await it." if what == "coroutine" else "A task that has ended gives it with result()."),
        }
    if type(error).__name__ == "ResponseValidationError":
        return {
            "seen": f"status 500: {type(error).__name__}",
            "diagnosis": f"What the handler of `{call.path}` returns is not what its return type says. "
            + ("A coroutine was returned: await it." if "<coroutine object" in str(error) else "Fix that first."),
        }
    line = innermost(error.__traceback__)
    message = str(error) if len(str(error)) <= 3 * SHOWN else str(error)[: 3 * SHOWN] + " …"
    named = f"{type(error).__name__}: {message}".rstrip(": ")
    if "'coroutine' object" in message:
        why = "What it uses there is a coroutine: something was called and not awaited."
    else:
        why = f"The handler of `{call.path}` raised {named}. Fix that first."
    return {"seen": f"status 500: {named}" + (f", {place_in_words(line)}" if line else ""), "diagnosis": why}
