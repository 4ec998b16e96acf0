"""What else was so while an answer was refused: causes that are the same in every exercise.

A check knows what it tried. That `exit()` was called, that FastAPI serves another function than the one that was
changed, that a task died unheard or that a line never gives the loop back explains whatever it saw.
"""

import asyncio
import builtins
import gc
import importlib
import linecache
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import CodeType, ModuleType
from typing import NoReturn

from fastapi import APIRouter, FastAPI

from workbench import clock, course
from workbench.clock import until
from workbench.judge.cell import (
    FILE,
    frames_of_the_cell,
    innermost,
    outermost,
    place_in_words,
    where_it_is,
)
from workbench.judge.exercise import NotYet, Probe, Verdict
from workbench.judge.source import changed_parts
from workbench.server.live import LiveServer, running

FOR_EVER = 2.0  # seconds for which a line of the cell holds a loop, and is told to hold it for ever
ENDLESS = 2_500  # parts of one answer: no stream of the course has so many
LONGEST = 400  # characters of what is shown in one place

_ends: list[str] = []  # in words, of each call that ends the process or asks the keyboard


def short(text: str) -> str:
    """The beginning of a text, where it is too long to be shown."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"


def told(verdict: Verdict, exercise: str, source: str, module: ModuleType | None, lost: list[BaseException]) -> Verdict:
    """The verdict of a refused answer, with a better diagnosis where something is known that explains all the rest.

    module: what the cell was run as, None where it could not be run. lost: exceptions of tasks that nobody awaited.
    """
    cause = next(_causes(module, lost), "")
    diagnosis = short(cause or verdict.diagnosis)
    given = [name for name in _changed(exercise, source) if f"`{name}" not in diagnosis]
    if given and not cause:
        names = ", ".join(f"`{name}`" for name in given[:3])
        diagnosis += f" Besides, not as given any more: {names}."
    return replace(verdict, seen=short(verdict.seen), diagnosis=diagnosis)


def _causes(module: ModuleType | None, lost: list[BaseException]) -> Iterator[str]:
    yield from _ends[:1]
    yield from _declared_twice(module)
    yield from _died(lost)


def _changed(exercise: str, source: str) -> list[str]:
    try:
        return changed_parts(course.starter_cell(exercise), course.answer_cell(exercise), source)
    except (SyntaxError, ValueError):
        return []


# calls that end the process, or wait for a keyboard


def note_what_ends_the_process() -> None:
    """From now on, exit(), sys.exit() and input() in the cell are noted, with their line."""
    builtins.input = _noting("input", _no_keyboard)
    builtins.exit = builtins.quit = _noting("exit", sys.exit)  # type: ignore[assignment]
    sys.exit = _noting("exit", sys.exit)


def ends_the_program(what: str) -> str:
    """The diagnosis for code that does so: what it does, in words."""
    return (
        f"Your code {what}. That ends the whole program, for everybody whom it serves: a function returns or raises, "
        "and a handler answers or raises an HTTPException."
    )


def _no_keyboard(*_: object) -> NoReturn:
    raise RuntimeError("an answer is judged without a keyboard: input() cannot be used")


def _noting(name: str, function: Callable[..., NoReturn]) -> Callable[..., NoReturn]:
    def noting(*args: object) -> NoReturn:
        if frames := frames_of_the_cell(threading.get_ident()):
            where = place_in_words(frames[0].f_lineno)
            _ends.append(
                ends_the_program(f"calls {name}(), at {where}")
                if name == "exit"
                else f"Your code asks the keyboard, at {where}. A server has none, and an answer is judged without "
                "one: input() cannot be used. Write the value into the code, or take it as a parameter."
            )
        function(*args)

    return noting


# routes


def _declared_twice(module: ModuleType | None) -> Iterator[str]:
    """In words, a path and method that two functions of the cell are declared for."""
    apps = [one for one in vars(module or ModuleType("")).values() if isinstance(one, FastAPI | APIRouter)]
    for app in apps:
        first: dict[tuple[str, str], CodeType] = {}
        for route in app.routes:
            code = getattr(getattr(route, "endpoint", None), "__code__", None)
            if not isinstance(code, CodeType) or code.co_filename != FILE:
                continue
            path = getattr(route, "path", "")
            for method in sorted(getattr(route, "methods", None) or {"WebSocket"}):
                known = first.setdefault((method, path), code)
                if known is not code:
                    yield (
                        f"`{method} {path}` is declared twice: for `{known.co_name}` at line "
                        f"{known.co_firstlineno}, and for `{code.co_name}` at line {code.co_firstlineno}. FastAPI "
                        "serves the first, whatever the second does. Leave only one of them."
                    )


# tasks


def _died(lost: list[BaseException]) -> Iterator[str]:
    """In words, a task that ended with a mistake of the cell's own, which nobody awaited."""
    for error in [*lost, *unheard()]:
        line = innermost(error.__traceback__)
        if line is None or not _is_a_slip(error, line):
            continue
        yield (
            f"The task of `{outermost(error.__traceback__)}` died: it ended with {type(error).__name__}: {error}, at "
            f"{place_in_words(line)}. Nobody awaits it, so nobody heard of that. Fix that first."
        )


def unheard() -> list[BaseException]:
    """The exceptions of tasks that have ended, and that nobody has asked for one yet."""
    tasks = [one for one in gc.get_objects() if issubclass(type(one), asyncio.Task) and one.done()]
    # Not exception(), which would count as asking: then it is never told in the log.
    return [error for one in tasks if getattr(one, "_log_traceback", False) and (error := one._exception)]


def _is_a_slip(error: BaseException, line: int) -> bool:
    """Whether the code is wrong, and does not raise on purpose: an exercise may let a task fail."""
    *_, (last, _) = traceback.walk_tb(error.__traceback__)
    slips = (NameError, TypeError, AttributeError, ImportError)
    slipped = isinstance(error, slips) or (isinstance(error, LookupError) and last.f_code.co_filename == FILE)
    return slipped and not linecache.getline(FILE, line).lstrip().startswith("raise")


# what never comes back


_holding: dict[str, tuple[str, float]] = {}  # by the server's name: what holds its loop, and since when


def never_ends() -> Iterator[NotYet]:
    """A refusal for each server whose loop a line of the cell has held for FOR_EVER, and for each endless stream.

    Only what somebody looks at again and again is seen to be held: by one task, and not by one after another.
    """
    for server in running():
        if place := _holds(server, FOR_EVER):
            yield Probe("your app, on a server", "a loop that is free again in a moment").saw(
                f"{place}, for seconds", _never_gives_back(server, place)
            )
        for request in list(server.record.requests):
            if request.done is None and request.parts > ENDLESS:
                yield Probe(f"`{request.method} {request.path}`", "an answer that ends").saw(
                    f"more than {ENDLESS:,} parts of it, and no end",
                    f"The answer to `{request.path}` never ends: {where_it_is()}. A loop around a `yield` needs a way "
                    "out: when what it reads from has ended, so has the stream.",
                )


def _holds(server: LiveServer, seconds: float) -> str:
    frames = frames_of_the_cell(server.thread.ident)
    task = asyncio.current_task(server.loop) if server.loop and frames else None
    known, since = _holding.get(server.name, ("", 0.0))
    callback = frames[-1].f_code.co_name if frames else ""  # where no task has called it
    name = task.get_name() if task else callback
    if name != known:
        since = clock.now()
    since = max(since, server.record.looked_at())  # then the loop was free
    _holding[server.name] = name, since
    return place_in_words(frames[0].f_lineno) if frames and clock.now() - since >= seconds else ""


async def or_held_for_ever(refused: NotYet, server: LiveServer) -> NotYet:
    """The refusal, or a better one where a line of the cell that it does not name holds the loop for FOR_EVER."""
    place = ""

    def decided() -> bool:
        nonlocal place
        place = _holds(server, FOR_EVER)
        return bool(place) or not _holds(server, 0)

    await until(decided, 2 * FOR_EVER)
    named = place in f"{refused.verdict.seen} {refused.verdict.diagnosis}"
    return refused if named else refused.because(_never_gives_back(server, place))


def _never_gives_back(server: LiveServer, place: str) -> str:
    suffers = (
        "nothing else in the server can run" if server.started else "what holds the loop keeps the server from starting"
    )
    return (
        f"Your code holds the event loop and never gives it back: it is at {place}, and {suffers}. A loop there must "
        "come to an end, or await something in each turn; what blocks goes into a thread."
    )


def importing(ident: int | None) -> bool:
    """Whether a thread is importing a module."""
    frame = sys._current_frames().get(ident or 0)
    while frame is not None and frame.f_code.co_filename != FILE:
        if frame.f_globals.get("__name__", "").startswith(importlib.__name__):
            return True
        frame = frame.f_back
    return False
