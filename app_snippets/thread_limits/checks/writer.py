"""A thread that goes on writing after its deadline: what is to be seen of it, and why nothing ends it."""

import asyncio
import threading
from types import FrameType

from app_snippets.thread_limits.checks.common import endpoint
from workbench.judge import Answer, calls

Event = threading.Event | asyncio.Event


class Writer:
    """What the functions of the cell that a thread runs have before them."""

    def __init__(self, name: str, frames: list[FrameType]) -> None:
        self.name = name
        seen = [value for frame in frames for value in (*frame.f_locals.values(), *frame.f_globals.values())]
        events = [value for value in seen if isinstance(value, Event)]
        self.has_event = bool(events)
        self.is_told = any(event.is_set() for event in events)
        self.own_event = ""  # a function that made the event for itself
        self.false = ""  # a bool that the function was given
        for frame in frames:
            arguments = frame.f_code.co_varnames[: frame.f_code.co_argcount]
            for name_of, value in frame.f_locals.items():
                if isinstance(value, Event) and name_of not in arguments:
                    self.own_event = frame.f_code.co_name
                if value is False and name_of in arguments:
                    self.false = name_of


def who_writes_on(answer: Answer, writers: list[Writer], left: bool, early: bool) -> str:
    """Why threads go on after the answer. left: a task still waits for one. early: the answer came at once."""
    if early:
        return (
            "The answer does not wait for the export, so it cannot know what becomes of it, and the deadline is "
            "nobody's. Await the thread."
        )
    if any(one.is_told for one in writers):
        return (
            "The event is set, and the thread does not look at it while it writes. Look before each row: between two "
            "looks, nothing can stop a thread."
        )
    for one in writers:
        if one.own_event:
            return (
                f"The thread looks at an event that `{one.own_event}` makes for itself, so nobody else can set it. "
                "Make it in the handler, and hand it over."
            )
        if one.has_event:
            return (
                "The thread looks at its event, and nobody sets it: when the deadline passes, only the wait ends. Set "
                "that same event on the way out, whichever way it is."
            )
        if one.false:
            return (
                f"In the thread, `{one.false}` is still False: a bool is handed over by its value, and what the "
                "handler's own variable becomes later reaches nobody. Hand over a threading.Event, at which both look."
            )
    return _nothing_to_look_at(answer, writers, left)


def _nothing_to_look_at(answer: Answer, writers: list[Writer], left: bool) -> str:
    is_async = asyncio.iscoroutinefunction(endpoint(answer, "/exports/{job}"))
    if left and calls(answer.source, "shield"):
        return (
            "The answer is out, and a task still waits for the thread: a shield keeps a wait from being cancelled. The "
            "thread needs no protection, nothing can cancel it. It needs to be told."
        )
    if left:
        return (
            "The answer is out, and a task still waits for the thread. Neither giving up the wait nor cancel() ends a "
            "thread: it needs to be told."
        )
    if any("ThreadPoolExecutor" in one.name for one in writers):
        return (
            "The executor was told to cancel, perhaps, or left alone. A call that has begun cannot be taken back: "
            "cancel() reaches only those that still wait for a thread."
        )
    if calls(answer.source, "check_cancelled"):
        return (
            "check_cancelled() asks whether a deadline of AnyIO's has passed, and nothing of that kind has. Its place "
            "is before each row, and `anyio.fail_after` goes around the call."
        )
    if is_async and any("AnyIO" in one.name for one in writers):
        return (
            "The wait for the AnyIO thread was given up, and that is all that `abandon_on_cancel` or a timeout of "
            "asyncio's can do. The thread writes on, and its token is free again, so the limit is no longer one."
        )
    return (
        "The timeout cancelled the wait and left the thread as it was. The caller was told that the export had been "
        "stopped, and the thread writes on, row after row."
    )
