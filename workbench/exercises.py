"""`check`, `hint`, `solution` and `progress`: the notebook's side of the exercises."""

import asyncio
import contextlib
import html
import json
import multiprocessing
import multiprocessing.util
import os
import signal
import sys
import tempfile
import textwrap
import threading
import time
from collections import Counter
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from workbench import course, notebook
from workbench.judging import (
    FORKSERVER_FOLDER,
    MARKS,
    NOT_ATTEMPTED,
    NOT_YET,
    PASSED,
    Exercise,
    NotYet,
    Verdict,
    exercises_of,
    find_exercise,
)

PATIENCE = 3.0  # seconds without a sign of life after which the judging process is ended
COLUMNS = 92

_hints_shown: Counter[str] = Counter()


class NotAttempted(Exception):
    """An exercise is not attempted, where the teacher requires it (EXERCISES=required)."""

    def __init__(self, exercise: Exercise) -> None:
        super().__init__(f"{MARKS[NOT_ATTEMPTED]} {exercise.label}: not attempted, and it is required")

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


async def check(name: str) -> None:
    """Judge the learner's answer to an exercise and show the verdict.

    name: "lesson/exercise", as in the first line of the exercise cell.

    The cell above is judged as it was last run, by itself, in a process of its own: whatever it does, this
    notebook lives. Raises NotYet when the answer does not do yet what is asked for. An unchanged starter is
    "not attempted", which is no error.
    """
    exercise = find_exercise(name)
    source = notebook.cell_of(exercise.name)
    if source is None:
        _show(exercise, Verdict(NOT_ATTEMPTED, summary="Run the cell above first, then this one."))
        return
    if _same(source, course.starter_cell(exercise.name)):
        if os.environ.get("EXERCISES") == "required":
            raise NotAttempted(exercise)
        _show(
            exercise,
            Verdict(NOT_ATTEMPTED, summary="Change the cell above, run it, then run this one."),
        )
        return
    verdict = await verdict_on(exercise, source)
    _keep(exercise, verdict)
    _show(exercise, verdict)
    if verdict.state == NOT_YET:
        raise NotYet(
            tried=verdict.tried,
            expected=verdict.expected,
            seen=verdict.seen,
            diagnosis=verdict.diagnosis,
            words=in_words(exercise, verdict),
        )


def hint(name: str) -> None:
    """Show the next hint for an exercise; after the last one it starts again."""
    exercise = find_exercise(name)
    place = _hints_shown[name] % len(exercise.hints)
    _hints_shown[name] += 1
    text = exercise.hints[place]
    _display(
        f"Hint {place + 1} of {len(exercise.hints)} for {exercise.label}: {text}",
        f"<b>Hint {place + 1} of {len(exercise.hints)}</b> for {html.escape(exercise.label)}: {_inline(text)}",
        "var(--jp-warn-color1, #b8860b)",
    )


def solution(name: str) -> None:
    """Print one right answer to an exercise."""
    exercise = find_exercise(name)
    print(course.answer_cell(exercise.name))


def progress(lesson: str | None = None) -> None:
    """Show every exercise and its state: of one lesson, or of the whole course."""
    states = _kept()
    chosen = [course.lesson(lesson)] if lesson else course.lessons()
    rows = [
        (one, states.get(one.name, {}).get("state", NOT_ATTEMPTED))
        for one_lesson in chosen
        for one in exercises_of(one_lesson.slug)
    ]
    done = sum(state == PASSED for _, state in rows)
    head = f"{done} of {len(rows)} exercises passed"
    text = "\n".join([head, *(f"{MARKS[state]} {one.label}: {state}" for one, state in rows)])
    cells = "".join(
        f"<tr><td>{MARKS[state]}</td><td style='text-align:left'>{html.escape(one.label)}</td>"
        f"<td style='text-align:left'>{state}</td></tr>"
        for one, state in rows
    )
    _publish({"text/plain": text, "text/html": f"<p><b>{head}</b></p><table>{cells}</table>"})


# judging


def _same(source: str, starter: str) -> bool:
    """Whether a cell is the starter still, white space at line ends and around it aside."""
    return [line.rstrip() for line in source.strip().splitlines()] == [
        line.rstrip() for line in starter.strip().splitlines()
    ]


def _context() -> Any:
    """Processes forked from a clean one that has the imports done already, where there is such a thing."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    os.environ[FORKSERVER_FOLDER] = multiprocessing.util.get_temp_dir()
    context.set_forkserver_preload(["workbench.rehearsal", *_check_modules()])
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
            return Verdict(
                NOT_YET,
                tried="to come to a verdict",
                expected=f"one within {exercise.deadline:g} seconds",
                seen="no sign of life from the process that ran your code",
                diagnosis="Your code never gave the processor back: something in it runs for ever inside one call.",
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


def _judge(*args: Any) -> None:
    from workbench.judge import judge

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


# showing


def in_words(exercise: Exercise, verdict: Verdict) -> str:
    """The verdict as plain text: the twin of the card."""
    head = f"{MARKS[verdict.state]} {exercise.label}: {verdict.state}"
    if verdict.state != NOT_YET:
        return f"{head}. {verdict.summary}".rstrip()
    lines = [head]
    for label, text in _rows(verdict):
        lines += textwrap.wrap(f"{label:<10}{text}", COLUMNS, initial_indent="  ", subsequent_indent=" " * 12)
    lines += textwrap.wrap(verdict.diagnosis, COLUMNS, initial_indent="  ", subsequent_indent="  ")
    lines += [f"  printed   {line}" for line in verdict.printed.splitlines()]
    return "\n".join([*lines, f"  hint({exercise.name!r}) helps."])


def _rows(verdict: Verdict) -> list[tuple[str, str]]:
    return [("tried", verdict.tried), ("expected", verdict.expected), ("seen", verdict.seen)]


def _show(exercise: Exercise, verdict: Verdict) -> None:
    colour = {
        NOT_ATTEMPTED: "var(--jp-border-color1, #888)",
        NOT_YET: "var(--jp-error-color1, #d55e00)",
        PASSED: "var(--jp-success-color1, #009e73)",
    }
    head = f"<b>{MARKS[verdict.state]} {html.escape(exercise.label)}: {verdict.state}</b>"
    if verdict.state == NOT_YET:
        rows = "".join(
            f"<tr><td style='text-align:left;opacity:.75;padding:1px 12px 1px 0;vertical-align:top'>{label}</td>"
            f"<td style='text-align:left;padding:1px 0'>{_inline(text)}</td></tr>"
            for label, text in _rows(verdict)
        )
        printed = f"<pre>{html.escape(verdict.printed)}</pre>" if verdict.printed else ""
        body = (
            f"{head}<table style='margin:4px 0;border:0'>{rows}</table>{_inline(verdict.diagnosis)}{printed}"
            f"<div style='opacity:.75;margin-top:4px'><code>hint({exercise.name!r})</code> helps.</div>"
        )
    else:
        body = f"{head}. {_inline(verdict.summary)}"
    _display(in_words(exercise, verdict), body, colour[verdict.state])


def _display(text: str, body: str, colour: str) -> None:
    card = f"<div style='border-left:4px solid {colour};padding:4px 12px;max-width:52em'>{body}</div>"
    _publish({"text/plain": text, "text/html": card})


def _publish(bundle: dict[str, str]) -> None:
    from IPython.display import display

    display(bundle, raw=True)


def _inline(text: str) -> str:
    """HTML of a sentence; `code` between backticks."""
    parts = text.split("`")
    return "".join(
        f"<code>{html.escape(part)}</code>" if place % 2 and place < len(parts) - 1 else html.escape(part)
        for place, part in enumerate(parts)
    )


# progress, kept across restarts


def _progress_file() -> Path:
    return Path(os.environ.get("WORKBENCH_PROGRESS", course.ROOT / ".progress.json"))


def _kept() -> dict[str, dict[str, str]]:
    try:
        kept = json.loads(_progress_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {name: entry for name, entry in kept.items() if isinstance(entry, dict)} if isinstance(kept, dict) else {}


def _keep(exercise: Exercise, verdict: Verdict) -> None:
    """Write the state down. What was passed once stays passed."""
    states = _kept()
    before = states.get(exercise.name, {}).get("state")
    state = PASSED if PASSED in (before, verdict.state) else verdict.state
    states[exercise.name] = {"state": state, "when": time.strftime("%Y-%m-%d %H:%M")}
    path = _progress_file()
    new = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        new.write_text(json.dumps(states, indent=1), encoding="utf-8")
        new.replace(path)
    except OSError as error:
        print(f"Your progress could not be kept in {path}: {error}", file=sys.stderr)
