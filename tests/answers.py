"""The known wrong and right answers to the exercises: tests/<lesson>/mistakes and alternatives."""

import re
from dataclasses import dataclass
from pathlib import Path

from workbench import course

TESTS = Path(__file__).parent


@dataclass(frozen=True)
class KnownAnswer:
    """One answer: the exercise's name, the cell's source, and for a mistake what its diagnosis must say."""

    exercise: str
    path: Path

    @property
    def source(self) -> str:
        """The cell, with the first line that an exercise cell has."""
        return f"{course.MARKER}{self.exercise}\n{self.path.read_text(encoding='utf-8')}"

    @property
    def diagnosis(self) -> str:
        """The words that the diagnosis must contain, from the file's docstring."""
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
        for path in sorted((TESTS / lesson.slug / kind).glob("*/*.py"))
    ]
