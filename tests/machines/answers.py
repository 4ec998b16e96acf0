"""Judge known answers, and write down what differs from what is known of them.

    python -m tests.machines.answers --at-once 4 --share 0/1 --into results.json [lesson[/exercise] …]

It is run by the rig in each of its columns; by itself it says how the answers fare here and now.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.answers import known_answers
from workbench import course
from workbench.judge import NOT_YET, PASSED, Verdict, exercises_of, find_exercise
from workbench.judge.verdicts import verdict_on, warm_up
from workbench.notebook.cards import in_words


@dataclass(frozen=True)
class Case:
    """An answer, and what must come of it: `state`, and for a mistake what its diagnosis must contain."""

    label: str
    exercise: str
    source: str
    state: str
    diagnosis: str = ""

    def holds(self, verdict: Verdict) -> bool:
        """Whether the verdict is the known one."""
        return verdict.state == self.state and self.diagnosis in verdict.diagnosis


def cases(chosen: list[str]) -> list[Case]:
    """All answers, or those to the exercises whose name, "lesson/exercise", starts with one of `chosen`."""
    lessons = [one for one in course.lessons() if not chosen or one.slug in {name.partition("/")[0] for name in chosen}]
    found = [
        case
        for name in [one.name for lesson in lessons for one in exercises_of(lesson.slug)]
        for case in (
            Case(f"{name}: the answer", name, course.answer_cell(name), PASSED),
            Case(f"{name}: the starter", name, course.starter_cell(name), NOT_YET),
        )
    ]
    found += [
        Case(f"{one.exercise}: {one.path.stem}", one.exercise, one.source, PASSED)
        for one in known_answers("alternatives")
    ]
    found += [
        Case(f"{one.exercise}: {one.path.stem}", one.exercise, one.source, NOT_YET, one.diagnosis)
        for one in known_answers("mistakes")
    ]
    return [one for one in found if not chosen or one.exercise.startswith(tuple(chosen))]


async def judged(todo: Iterable[Case], at_once: int, until: float) -> dict[str, str]:
    """Judge the cases, `at_once` at a time; what differs, by label, in words. What is late is not begun."""
    waiting = iter(todo)
    differing: dict[str, str] = {}

    async def work() -> None:
        for case in waiting:
            if time.monotonic() > until:
                differing[case.label] = "not judged: the time was over"
                continue
            verdict = await verdict_on(find_exercise(case.exercise), case.source)
            if not case.holds(verdict):
                wanted = f"wanted: {case.state}. {case.diagnosis}".rstrip()
                differing[case.label] = f"{wanted}\n{in_words(find_exercise(case.exercise), verdict)}"

    await asyncio.gather(*(work() for _ in range(at_once)))
    return differing


def main() -> int:
    """The command line. Returns the exit status: 1 where something differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.machines.answers", description=__doc__.partition("\n")[0])
    parser.add_argument("chosen", nargs="*", metavar="lesson[/exercise]", help="what to judge (default: all)")
    parser.add_argument("--at-once", type=int, default=4, help="judging processes side by side (default: 4)")
    parser.add_argument("--share", default="0/1", metavar="K/N", help="judge every Nth answer, from the Kth on")
    parser.add_argument("--times", type=int, default=1, help="judge each answer so many times")
    parser.add_argument("--seconds", type=float, default=900, help="begin no answer after so many (default: 900)")
    parser.add_argument("--into", type=Path, help="a file for the outcome, as JSON: label, and what differed")
    options = parser.parse_args()
    first, step = map(int, options.share.split("/"))
    todo = [one for _ in range(options.times) for one in cases(options.chosen)[first::step]]
    if not todo:
        parser.error(f"no exercise starts with {' or '.join(options.chosen)}")
    warm_up()
    differing = asyncio.run(judged(todo, options.at_once, time.monotonic() + options.seconds))
    for label, words in differing.items():
        print(f"{label}\n{words}\n", flush=True)
    print(f"{len(todo)} answers judged, {len(differing)} differ")
    if options.into:
        options.into.write_text(json.dumps({"judged": len(todo), "differing": differing}), encoding="utf-8")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
