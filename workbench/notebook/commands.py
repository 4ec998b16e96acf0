"""`check`, `hint`, `solution` and `progress`: the notebook's side of the exercises."""

import html
import os
from collections import Counter

from workbench import course
from workbench.judge import (
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
from workbench.judge.verdicts import verdict_on
from workbench.notebook import kernel
from workbench.notebook.cards import display_card, in_words, inline, publish, show
from workbench.notebook.progress import keep, kept

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
    source = kernel.cell_of(exercise.name)
    if source is None:
        show(exercise, Verdict(NOT_ATTEMPTED, summary="Run the cell above first, then this one."))
        return
    if _same(source, course.starter_cell(exercise.name)):
        if os.environ.get("EXERCISES") == "required":
            raise NotAttempted(exercise)
        show(
            exercise,
            Verdict(NOT_ATTEMPTED, summary="Change the cell above, run it, then run this one."),
        )
        return
    verdict = await verdict_on(exercise, source)
    keep(exercise, verdict)
    show(exercise, verdict)
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
    display_card(
        f"Hint {place + 1} of {len(exercise.hints)} for {exercise.label}: {text}",
        f"<b>Hint {place + 1} of {len(exercise.hints)}</b> for {html.escape(exercise.label)}: {inline(text)}",
        "var(--jp-warn-color1, #b8860b)",
    )


def solution(name: str) -> None:
    """Print one right answer to an exercise."""
    exercise = find_exercise(name)
    print(course.answer_cell(exercise.name))


def progress(lesson: str | None = None) -> None:
    """Show every exercise and its state: of one lesson, or of the whole course."""
    states = kept()
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
    publish({"text/plain": text, "text/html": f"<p><b>{head}</b></p><table>{cells}</table>"})


def _same(source: str, starter: str) -> bool:
    """Whether a cell is the starter still, white space at line ends and around it aside."""
    return [line.rstrip() for line in source.strip().splitlines()] == [
        line.rstrip() for line in starter.strip().splitlines()
    ]
