"""Where the lessons are, and how an exercise file becomes a starter and an answer."""

import functools
import importlib
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SNIPPETS = ROOT / "app_snippets"
NOTEBOOKS = ROOT / "notebooks"

MARKER = "# exercise: "  # the first line of an exercise cell, followed by the exercise's name


class CourseError(ValueError):
    """A source of the course is not as it must be. The message names the file and says what to do."""


@dataclass(frozen=True)
class Lesson:
    """One lesson: `slug` is its folder's name, `number` its place in course.toml, from 0."""

    slug: str
    number: int

    @property
    def folder(self) -> Path:
        """The folder of its sources."""
        return SNIPPETS / self.slug

    @property
    def notebook(self) -> Path:
        """The notebook that is built from it."""
        return NOTEBOOKS / f"{self.number:02}_{self.slug}.ipynb"

    @property
    def title(self) -> str:
        """The first heading of its text."""
        text = (self.folder / "lesson.md").read_text(encoding="utf-8")
        heading = re.search(r"^# (.+)$", text, re.MULTILINE)
        if heading is None:
            raise CourseError(f"{self.slug}/lesson.md has no title: it needs one line that begins with '# '")
        return heading[1]


@functools.cache
def lessons() -> tuple[Lesson, ...]:
    """All lessons, in the order of app_snippets/course.toml."""
    order = tomllib.loads((SNIPPETS / "course.toml").read_text(encoding="utf-8"))["lessons"]
    return tuple(Lesson(slug, number) for number, slug in enumerate(order))


def lesson(slug: str) -> Lesson:
    """The lesson of that name. Raises CourseError naming those there are."""
    for known in lessons():
        if known.slug == slug:
            return known
    raise CourseError(f"There is no lesson {slug!r}. There are: {', '.join(one.slug for one in lessons())}.")


def load_checks(slug: str) -> None:
    """Import the checks of a lesson, which registers its exercises."""
    importlib.import_module(f"app_snippets.{slug}.checks")


def exercise_file(name: str) -> Path:
    """The file of the exercise `lesson/exercise`."""
    slug, _, short = name.partition("/")
    return SNIPPETS / slug / "exercises" / f"{short}.py"


def answer_cell(name: str) -> str:
    """The exercise cell with the course's own answer in it."""
    return _cell(name, keep="answer")


def starter_cell(name: str) -> str:
    """The exercise cell as the learner finds it."""
    return _cell(name, keep="starter")


def _cell(name: str, *, keep: str) -> str:
    path = exercise_file(name)
    return f"{MARKER}{name}\n{cut(path.read_text(encoding='utf-8'), keep=keep, where=str(path))}"


def cut(text: str, *, keep: str, where: str) -> str:
    """Cut the answer or the starter, as `keep` says, from an exercise file's text. Raises CourseError, naming `where`.

    The file is the answer. `# BEGIN SOLUTION` … `# END SOLUTION` marks what the learner writes. Lines after
    `# STARTER` in that part, each behind `# | `, stand in its place in the starter, indented as the mark is.
    """
    lines = []
    part, indent = "shared", ""
    for line in text.rstrip().splitlines():
        mark = line.strip()
        if mark == "# BEGIN SOLUTION" and part == "shared":
            part = "answer"
            indent = line[: line.index("#")]
        elif mark == "# STARTER" and part == "answer":
            part = "starter"
        elif mark == "# END SOLUTION" and part != "shared":
            part = "shared"
        elif part == "starter":
            if not mark.startswith("# |"):
                raise CourseError(f"{where}: a line between # STARTER and # END SOLUTION lacks '# |': {line!r}")
            if keep == "starter":
                lines.append((indent + mark.removeprefix("# |").removeprefix(" ")).rstrip())
        elif part in ("shared", keep):
            lines.append(line)
    if part != "shared":
        raise CourseError(f"{where}: # BEGIN SOLUTION without # END SOLUTION")
    return "\n".join(lines)
