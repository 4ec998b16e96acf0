"""The known wrong and right answers to the exercises: tests/<lesson>/mistakes and alternatives.

    python -m tests.answers show lesson/exercise/name      an answer as whole code
    python -m tests.answers make lesson/exercise/name edited.py --title "…" [--diagnosis "…"]

An answer says what it changes: `name.change` holds a title, for a mistake the words that its diagnosis must contain,
and the hunks that make it of the exercise's own answer. An alternative that is quite another one is a file, `name.py`.
`make` writes one from a whole cell that was edited: a mistake where there is a diagnosis, else an alternative.
"""

import argparse
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.changes import HUNK, DoesNotApply, applied, change_between
from workbench import course
from workbench.course import CourseError
from workbench.judge import find_exercise

TESTS = Path(__file__).parent
CLOSE = 0.7  # of the lines of a whole file: a change that is longer is no shorter way to say it


@dataclass(frozen=True)
class KnownAnswer:
    """One answer to `exercise`, "lesson/exercise"."""

    exercise: str
    path: Path

    @property
    def source(self) -> str:
        """The cell, with the first line that an exercise cell has. Raises DoesNotApply."""
        if self.path.suffix == ".py":
            return f"{course.MARKER}{self.exercise}\n{self.path.read_text(encoding='utf-8')}"
        _, hunk, rest = self.path.read_text(encoding="utf-8").partition(f"{HUNK}\n")
        return applied(course.answer_cell(self.exercise), hunk + rest)

    @property
    def diagnosis(self) -> str:
        """The words that a mistake's diagnosis must contain."""
        match = re.search(r"^Diagnosis: (.+)$", self.path.read_text(encoding="utf-8"), re.MULTILINE)
        assert match, f"{self.path} does not say its diagnosis"
        return match[1]

    def __str__(self) -> str:
        return f"{self.exercise}-{self.path.stem}"


def known_answers(kind: str) -> list[KnownAnswer]:
    """All answers of a kind, "mistakes" or "alternatives", in the course's order."""
    return [
        KnownAnswer(f"{lesson.slug}/{path.parent.name}", path)
        for lesson in course.lessons()
        for path in sorted((TESTS / lesson.slug / kind).glob("*/*.*"), key=lambda path: (path.parent.name, path.stem))
        if path.suffix in (".change", ".py")
    ]


def make(name: str, edited: str, title: str, diagnosis: str | None) -> Path:
    """Write an answer down as what it changes, or whole where that is no longer. Returns its file."""
    exercise, _, short = name.rpartition("/")
    lesson, _, of = exercise.partition("/")
    answer = course.answer_cell(find_exercise(exercise).name)
    whole = course.cut(edited, keep="answer", where=name).strip().removeprefix(f"{course.MARKER}{exercise}\n")
    cell = f"{course.MARKER}{exercise}\n{whole}"
    folder = TESTS / lesson / ("mistakes" if diagnosis else "alternatives") / of
    folder.mkdir(parents=True, exist_ok=True)
    change = change_between(answer, cell)
    if not diagnosis and len(change.splitlines()) > CLOSE * len(cell.splitlines()):
        path, text = folder / f"{short}.py", f'"""{title}"""\n\n{whole}\n'
    else:
        words = [title] if diagnosis is None else [title, f"Diagnosis: {diagnosis}"]
        path, text = folder / f"{short}.change", "\n".join([*words, change]) + "\n"
    path.write_text(text, encoding="utf-8")
    return path


def main() -> int:
    """The command line. Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.answers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    shown = commands.add_parser("show", help="print an answer as whole code")
    shown.add_argument("name", metavar="lesson/exercise/name")
    made = commands.add_parser("make", help="write an answer down as what it changes")
    made.add_argument("name", metavar="lesson/exercise/name")
    made.add_argument("edited", type=Path, help="a copy of the exercise's file, edited")
    made.add_argument("--title", required=True, help="what it does, in a sentence")
    made.add_argument("--diagnosis", help="words that the diagnosis must contain; without it, it is an alternative")
    options = parser.parse_args()
    try:
        if options.command == "make":
            print(make(options.name, options.edited.read_text(encoding="utf-8"), options.title, options.diagnosis))
            return 0
        answers = [*known_answers("mistakes"), *known_answers("alternatives")]
        known = {f"{one.exercise}/{one.path.stem}": one for one in answers}
        if options.name not in known:
            exercise = options.name.rpartition("/")[0]
            there = [name for name in known if name.startswith(f"{find_exercise(exercise).name}/")]
            raise CourseError(f"There is no answer {options.name!r}. There are: {', '.join(there)}.")
        print(known[options.name].source.partition("\n")[2])
    except (CourseError, DoesNotApply, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
