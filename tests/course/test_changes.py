"""Answers that say what they change."""

import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import answers
from tests.answers import KnownAnswer, make
from tests.changes import DoesNotApply, applied, change_between
from workbench import course

NAME = "live_laboratory/burst"
TEXT = "import a\n\n\ndef f():\n    one()\n    two()\n\n\ndef g():\n    one()\n    two()"


@pytest.mark.parametrize("seed", range(200))
def test_a_change_makes_of_a_text_what_it_was_made_from(seed: int) -> None:
    """Also where lines are alike, and at both ends."""
    luck = random.Random(seed)
    text = ["import it", *luck.choices(["", "a", "b", "    a", "+c", "@@ d"], k=luck.randrange(14))]
    edited = list(text)
    for _ in range(luck.randrange(1, 5)):
        place = luck.randrange(len(edited) + 1)
        edited[place : place + luck.randrange(3)] = [luck.choice(["x", "a", "-z", "    b"])] * luck.randrange(3)
    before, after = "\n".join(text), "\n".join(edited)
    assert applied(before, change_between(before, after)).rstrip("\n") == after.rstrip("\n")


def test_a_change_says_no_more_than_what_it_needs_to_be_found() -> None:
    assert change_between(TEXT, TEXT.replace("import a", "import b")) == "@@\n-import a\n+import b"
    assert change_between(TEXT, TEXT[:-5] + "three()") == "@@\n def g():\n     one()\n-    two()\n+    three()"


def test_a_change_holds_when_other_lines_come_before_it() -> None:
    change = change_between(TEXT, TEXT.replace("import a", "import b"))
    assert applied(f"# new\n\n{TEXT}", change) == f"# new\n\n{TEXT}".replace("import a", "import b")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("@@\n-import nothing", "is not there any more:\nimport nothing"),
        ("@@\n-    one()", "is there 2 times:\n    one()"),
        ("@@\n def g():\n-    one()\n@@\n-import a", "is not there any more:\nimport a"),
        ("@@\nimport a", "begins with ' ', '-' or '+'"),
        ("-import a", "behind a line '@@'"),
        ("@@\n+only new", "is not there any more"),
    ],
)
def test_a_change_of_another_text_says_so(change: str, message: str) -> None:
    with pytest.raises(DoesNotApply, match=re.escape(message)):
        applied(TEXT, change)


def test_a_mistake_is_made_from_an_edited_file_and_shown_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "TESTS", tmp_path)
    edited = course.exercise_file(NAME).read_text(encoding="utf-8").replace("await client.get(url)", "client.get(url)")
    path = make(f"{NAME}/not_awaited", edited, "The call is not awaited.", "Await it")
    assert path == tmp_path / "live_laboratory/mistakes/burst/not_awaited.change"
    assert path.read_text(encoding="utf-8").startswith("The call is not awaited.\nDiagnosis: Await it\n@@\n")
    made = KnownAnswer(NAME, path)
    assert made.diagnosis == "Await it"
    assert made.source == course.answer_cell(NAME).replace("await client.get(url)", "client.get(url)")
    whole = make(f"{NAME}/another", "async def burst(url, n):\n    return [1.0] * n", "Quite another one.", None)
    assert whole.name == "another.py"
    assert KnownAnswer(NAME, whole).source.endswith("return [1.0] * n\n")


def test_the_command_shows_an_answer_and_names_those_there_are() -> None:
    command = [sys.executable, "-m", "tests.answers", "show"]
    shown = subprocess.run([*command, f"{NAME}/one_clock"], cwd=course.ROOT, capture_output=True, text=True, check=True)
    compile(shown.stdout, "shown", "exec")
    unknown = subprocess.run([*command, f"{NAME}/nope"], cwd=course.ROOT, capture_output=True, text=True)
    assert unknown.returncode == 1
    assert f"There is no answer '{NAME}/nope'. There are: " in unknown.stderr
    assert f"{NAME}/one_clock" in unknown.stderr
