"""Judging an answer from the notebook's side: a process for each verdict, which always comes back."""

import asyncio
import contextlib
import linecache
import multiprocessing
import multiprocessing.util
import os
import re
import signal
import tempfile
import threading
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from workbench import course
from workbench.judge.cell import FILE, place_in_words
from workbench.judge.exercise import FORKSERVER_FOLDER, NOT_YET, THREADS, Exercise, Verdict

PATIENCE = 3.0  # seconds without a sign of life after which the judging process is ended


def _context() -> Any:
    """Processes forked from a clean one that has the imports done already, where there is such a thing."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    os.environ[FORKSERVER_FOLDER] = multiprocessing.util.get_temp_dir()
    context.set_forkserver_preload(["workbench.judge.rehearsal", *_check_modules()])
    return context


def _check_modules() -> list[str]:
    return [f"app_snippets.{lesson.slug}.checks" for lesson in course.lessons()]


def warm_up() -> None:
    """Start the process that judging processes are forked from, in the background. Once is enough."""
    if "forkserver" in multiprocessing.get_all_start_methods():
        _context()
        from multiprocessing.forkserver import ensure_running

        threading.Thread(target=ensure_running, name="warm-up", daemon=True).start()


async def verdict_on(exercise: Exercise, source: str) -> Verdict:
    """Judge a cell's source in a process of its own, which is gone afterwards. Always comes back."""
    context = _context()
    ours, theirs = context.Pipe(duplex=False)
    folder = tempfile.TemporaryDirectory(prefix="answer-", ignore_cleanup_errors=True)
    process = context.Process(target=_judge, args=(theirs, exercise.name, source, folder.name), name="judge")
    await asyncio.to_thread(process.start)
    theirs.close()
    try:
        while (ready := await asyncio.to_thread(wait, [ours, process.sentinel], PATIENCE)) and ours.poll():
            try:
                received: Verdict | None = ours.recv()
            except EOFError:
                break
            if received is not None:
                return received
        if not ready:
            place = _where_it_was(folder.name, source)
            return Verdict(
                NOT_YET,
                tried="to come to a verdict",
                expected=f"one within {exercise.deadline:g} seconds",
                seen=f"no sign of life from the process that ran your code{place and f', {place}'}",
                diagnosis="Your code never gave the processor back: something in it runs for ever inside one call"
                f"{place and f', at {place}'}.",
            )
        process.join(1)
        return Verdict(
            NOT_YET,
            tried="to come to a verdict",
            expected="your code to run to its end",
            seen=f"its process ended with exit code {process.exitcode}",
            diagnosis="Your code ended the Python process that it ran in. Leave out os._exit() and signals; "
            "if it uses much memory, use less.",
        )
    finally:
        _end(process)
        ours.close()
        folder.cleanup()


def _where_it_was(folder: str, source: str) -> str:
    """The line of the cell that the judging process wrote down last, in words, "" for none."""
    lines = re.findall(rf'File "{FILE}", line (\d+)', (Path(folder) / THREADS).read_text(errors="replace"))
    linecache.cache[FILE] = (len(source), None, source.splitlines(keepends=True), FILE)
    return place_in_words(int(lines[0])) if lines else ""


def _judge(*args: Any) -> None:
    from workbench.judge.process import judge

    judge(*args)


def _end(process: BaseProcess) -> None:
    """End a judging process with all that it started."""
    if process.pid is not None:
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        if process.is_alive():
            process.kill()
    process.join(5)
    process.close()
