"""The process in which an answer is judged. Nothing that the answer does can reach the notebook.

`judge` is the main function of a process that is made for one verdict: it lets the exercise's check drive the
learner's cell, sends a `Verdict` back and exits.
"""

import asyncio
import contextlib
import faulthandler
import io
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType

from workbench import clock
from workbench.judge.answer import Answer, TookTooLong
from workbench.judge.causes import (
    ends_the_program,
    never_ends,
    note_what_ends_the_process,
    short,
    told,
)
from workbench.judge.cell import innermost, place_in_words, where_it_is
from workbench.judge.exercise import NOT_YET, PASSED, THREADS, Exercise, NotYet, Verdict, find_exercise
from workbench.server.live import running

PRINTED_LINES = 8
PRINTED_COLUMNS = 200
SIGN = 0.25  # seconds between two signs of life
SILENCE = 2.0  # seconds without one, after which it is written down where the threads are
MEMORY = 4 << 30  # bytes that an answer may map, where the platform can limit it


def judge(connection: Connection, name: str, source: str, folder: str) -> None:
    """Judge `source` as the answer to the exercise `name`, send the Verdict through `connection`, exit.

    Until then a sign of life, None, goes through it every SIGN seconds. Where there is none for SILENCE, what each
    thread does is written into `folder`, and so goes what the answer leaves in temporary files.
    """
    exercise = find_exercise(name)
    threads = (Path(folder) / THREADS).open("w")
    printed = _isolate(folder)
    clock.stand_still_with_the_machine()
    once = threading.Lock()

    def send(verdict: Verdict) -> None:
        once.acquire()  # and never released: the first verdict is the last word
        lines = printed.getvalue().splitlines()[-PRINTED_LINES:]
        last = "\n".join(one if len(one) <= PRINTED_COLUMNS else f"{one[:PRINTED_COLUMNS]} …" for one in lines)
        connection.send(replace(verdict, printed=last))
        connection.close()
        os._exit(0)

    def until_the_deadline() -> None:
        deadline = clock.now() + exercise.deadline
        while clock.now() < deadline:
            with once:
                connection.send(None)
            faulthandler.dump_traceback_later(SILENCE, file=threads)
            for refused in never_ends():
                send(refused.verdict)
            clock.sleep(SIGN)
        where = where_it_is()
        send(
            Verdict(
                NOT_YET,
                tried="to come to a verdict",
                expected=f"one within {exercise.deadline:g} seconds",
                seen=where,
                diagnosis=f"Your code did not come back: {where}. Something there never ends: a loop with no "
                "way out, a lock that is never released, or a wait for what never comes.",
            )
        )

    threading.Thread(target=until_the_deadline, name="deadline", daemon=True).start()
    answer = Answer(exercise, source)
    verdict = _verdict(exercise, answer)
    send(verdict if verdict.state == PASSED else told(verdict, name, source, answer.module, answer.lost))


def _verdict(exercise: Exercise, answer: Answer) -> Verdict:
    try:
        try:
            return Verdict(PASSED, summary=asyncio.run(_run_check(exercise, answer)))
        except TookTooLong as error:
            raise NotYet(
                tried=f"your `{exercise.asks_for}`",
                expected="an answer in time",
                seen=error.where,
                diagnosis=f"Your code did not come back in time: {error.where}.",
            ) from None
    except NotYet as error:
        return error.verdict
    except BaseException as error:
        line = innermost(error.__traceback__)
        lines = short(f"{type(error).__name__}: {error}".rstrip(": "))
        return Verdict(
            NOT_YET,
            tried=f"`{exercise.asks_for}`",
            expected="no exception",
            seen=f"{lines}, {place_in_words(line)}".rstrip(", "),
            diagnosis=ends_the_program(f"raised {lines}")
            if isinstance(error, SystemExit)
            else f"Your code raised {lines}.",
        )


async def _run_check(exercise: Exercise, answer: Answer) -> str:
    before = _clocks()
    try:
        return await exercise.check(answer)
    except NotYet as error:
        for server in running():
            if server.crash is not None:
                raise NotYet(
                    tried=error.verdict.tried,
                    expected=error.verdict.expected,
                    seen=f"the server ended with {type(server.crash).__name__}",
                    diagnosis=f"Your code ended the whole server: it raised {type(server.crash).__name__} "
                    "in the event loop. A handler answers or raises an HTTPException; it never exits.",
                ) from error
        raise
    finally:
        _require_clocks(before)


def _clocks() -> dict[str, object]:
    ours = {f"time.{name}": getattr(time, name) for name in clock.REPLACED}
    return ours | {"asyncio.sleep": asyncio.sleep}


def _require_clocks(before: dict[str, object]) -> None:
    """The clocks and sleeps are those of before. Raises NotYet: what was seen meanwhile says nothing."""
    for name, function in _clocks().items():
        if function is not before[name]:
            raise NotYet(
                tried="to judge your code by the clock",
                expected=f"`{name}` as Python has it",
                seen="another function in its place",
                diagnosis=f"Your code replaces `{name}` for the whole process, and so for everybody who waits in it. "
                "Leave the clocks and sleeps of Python as they are; a name of your own may stand for anything.",
            )


def _isolate(folder: str) -> io.StringIO:
    """Cut this process off from the notebook's streams, process group and temporary files; keep what is printed."""
    if hasattr(os, "setsid"):
        with contextlib.suppress(OSError):  # we lead a group already
            os.setsid()
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    # This process was forked by a server for that purpose, which made it the default. Back to the platform's own,
    # and to a main module that costs nothing to import, for the processes that an answer starts.
    multiprocessing.set_start_method(None, force=True)
    sys.modules["__main__"] = ModuleType("__main__")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    os.environ["TMPDIR"] = tempfile.tempdir = folder
    printed = io.StringIO()
    sys.stdout = sys.stderr = printed
    note_what_ends_the_process()
    return printed
