"""What checks are written with: how an exercise is declared, and what a verdict is made of."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from workbench import course

Check = Callable[[Any], Awaitable[str]]  # of an Answer, which is one floor up

NOT_ATTEMPTED, NOT_YET, PASSED = "not attempted", "not yet", "passed"
FORKSERVER_FOLDER = "WORKBENCH_FORKSERVER_FOLDER"  # a variable of the environment: where its temporary files are
THREADS = "threads.txt"  # in the folder of a judging process: where its threads were when it fell silent
MARKS = {NOT_ATTEMPTED: "○", NOT_YET: "✘", PASSED: "✔"}


@dataclass(frozen=True)
class Verdict:
    """What came of a check, ready to be shown and sent between processes.

    `summary` is the sentence of a pass; `tried`, `expected`, `seen` and `diagnosis` are those of a "not yet".
    `printed` is the end of what the answer printed meanwhile.
    """

    state: str
    summary: str = ""
    tried: str = ""
    expected: str = ""
    seen: str = ""
    diagnosis: str = ""
    printed: str = ""


class NotYet(Exception):
    """The answer does not do yet what the exercise asks for.

    tried, expected, seen: short phrases. diagnosis: sentences in words of the mistake.
    words: all of it as plain text, once the card is shown.
    """

    def __init__(self, *, tried: str, expected: str, seen: str, diagnosis: str, words: str = "") -> None:
        super().__init__(words or diagnosis)
        self.verdict = Verdict(NOT_YET, tried=tried, expected=expected, seen=seen, diagnosis=diagnosis)

    def because(self, diagnosis: str) -> "NotYet":
        """The same with another diagnosis, for a check that knows better what the mistake is."""
        was = self.verdict
        return NotYet(tried=was.tried, expected=was.expected, seen=was.seen, diagnosis=diagnosis)

    def _render_traceback_(self) -> list[str]:
        return ["NotYet: the card above says why."]


@dataclass(frozen=True)
class Probe:
    """One thing that a check tries, and what it expects of it, in short phrases.

    >>> raise Probe("two reports at once", "both at the service together").saw("one", "They take turns. …")
    """

    tried: str
    expected: str

    def saw(self, seen: str, diagnosis: str) -> NotYet:
        """What to raise when something else was seen. diagnosis: sentences in words of the mistake."""
        return NotYet(tried=self.tried, expected=self.expected, seen=seen, diagnosis=diagnosis)


@dataclass(frozen=True)
class Exercise:
    """One exercise. `name` is "lesson/exercise", `asks_for` the name that the answer must define."""

    name: str
    number: str
    title: str
    asks_for: str
    hints: tuple[str, ...]
    deadline: float
    check: Check = field(repr=False)

    @property
    def label(self) -> str:
        """Number and title, as every message begins: "1.1 Fix the report"."""
        return f"{self.number} {self.title}"


_registry: dict[str, Exercise] = {}


def exercise(title: str, *, asks_for: str, hints: list[str], deadline: float = 10.0) -> Callable[[Check], Check]:
    """Declare an exercise: the decorated coroutine judges an answer.

    It is called with an `Answer` in a process of its own, drives it, and returns the sentence of a pass or
    raises NotYet. Its name and its module's give the exercise its name; its place in the file its number.

    deadline: seconds after which the process is ended, whatever the answer does.
    """

    def declare(check: Check) -> Check:
        slug = check.__module__.split(".")[1]  # app_snippets.<slug>.checks, or a module in that package
        name = f"{slug}/{check.__name__}"
        siblings = [known for known in _registry if known.startswith(f"{slug}/") and known != name]
        number = f"{course.lesson(slug).number}.{len(siblings) + 1}"
        _registry[name] = Exercise(name, number, title, asks_for, tuple(hints), deadline, check)
        return check

    return declare


def exercises_of(slug: str) -> list[Exercise]:
    """The exercises of a lesson, in order."""
    course.load_checks(slug)
    return [known for name, known in _registry.items() if name.startswith(f"{slug}/")]


def find_exercise(name: str) -> Exercise:
    """The exercise "lesson/exercise". Raises CourseError naming those there are."""
    slug, _, _ = str(name).partition("/")
    known = {one.name: one for one in exercises_of(course.lesson(slug).slug)}
    if name not in known:
        raise course.CourseError(f"There is no exercise {name!r}. There are: {', '.join(known)}.")
    return known[name]


def ms(seconds: float) -> str:
    """Seconds as whole milliseconds in words: "1,912 ms"."""
    return f"{1000 * seconds:,.0f} ms"


def quoted(value: Any, length: int = 80) -> str:
    """A value in words, cut to `length` characters."""
    text = repr(value)
    return text if len(text) <= length else text[: length - 1] + "…"
