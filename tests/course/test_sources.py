"""The course's sources: notebooks as they are built, apps that stand alone, text that keeps its rules."""

import ast
import importlib
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import fastapi
import nbformat
import pytest

from workbench import course
from workbench.build.notebooks import build, main, outputs_digest, says_the_same, sources_differ
from workbench.course import CourseError, Lesson
from workbench.judge import exercises_of

LESSONS = pytest.mark.parametrize("lesson", course.lessons(), ids=lambda lesson: lesson.slug)
APPS = sorted(
    path
    for lesson in course.lessons()
    for path in lesson.folder.glob("*.py")
    if path.name != "checks.py"
)  # fmt: skip
HEAVY = re.compile(
    r"\b(simply|just|easy|easily|obviously|sorry|unfortunately|amazing|powerful|blazing)\b", re.IGNORECASE
)


def code_cells(lesson: Lesson) -> list[nbformat.NotebookNode]:
    return [cell for cell in nbformat.read(lesson.notebook, as_version=4).cells if cell.cell_type == "code"]


@LESSONS
def test_the_committed_notebook_is_what_its_sources_build(lesson: Lesson) -> None:
    assert sources_differ(lesson) == ""


def test_the_check_command_says_what_is_out_of_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--check"]) == 0
    lesson = course.lessons()[0]
    changed = tmp_path / lesson.notebook.name
    changed.write_text(
        lesson.notebook.read_text(encoding="utf-8").replace("import asyncio", "import  asyncio"), encoding="utf-8"
    )
    (tmp_path / "99_stray.ipynb").write_text("{}")
    monkeypatch.setattr(course, "NOTEBOOKS", tmp_path)
    assert main(["--check"]) == 1
    said = capsys.readouterr().err
    assert f"{changed.name} is not what its sources build: run `make notebooks`" in said
    assert "99_stray.ipynb belongs to no lesson" in said
    assert "01_blocking_and_waiting.ipynb is missing" in said


def notebook(*cells: tuple[str, str, str]) -> nbformat.NotebookNode:
    """A notebook of cells, each with its source, what it says and its picture."""
    made = nbformat.v4.new_notebook()
    for place, (source, said, picture) in enumerate(cells):
        output = nbformat.v4.new_output("display_data", {"text/plain": said, "image/png": picture})
        made.cells.append(nbformat.v4.new_code_cell(source, id=f"cell-{place}", outputs=[output]))
    return made


@pytest.mark.parametrize(
    ("rebuilt", "same"),
    [
        ([("a", "took 2 s", "new"), ("b", "yes", "new")], True),
        ([("a", "took 2 s", "new"), ("b", "no", "new")], False),
        ([("a", "took 2 s", "new"), ("B", "yes", "new")], False),
        ([("a", "took 2 s", "new")], False),
    ],
)
def test_a_notebook_is_kept_where_all_of_it_says_the_same(rebuilt: list[tuple[str, str, str]], same: bool) -> None:
    committed = notebook(("a", "took 1 s", "old"), ("b", "yes", "old"))
    assert says_the_same(notebook(*rebuilt), committed) == same


@LESSONS
def test_the_outputs_of_a_notebook_are_of_one_run(lesson: Lesson) -> None:
    """None was kept beside others that are new: the build sums up what one run gave."""
    committed = nbformat.read(lesson.notebook, as_version=4)
    assert committed.metadata["lesson"]["outputs"] == outputs_digest(committed)


def test_an_unknown_lesson_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nope"]) == 1
    assert "There is no lesson 'nope'. There are: live_laboratory" in capsys.readouterr().err


@LESSONS
def test_every_cell_was_executed_in_order_and_without_an_error(lesson: Lesson) -> None:
    cells = code_cells(lesson)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [one for one in outputs if one.output_type == "error" or one.get("name") == "stderr"]
    assert cells[-1].source == "await finish()"


@LESSONS
def test_nothing_machine_specific_is_committed(lesson: Lesson) -> None:
    text = lesson.notebook.read_text(encoding="utf-8")
    assert str(course.ROOT) not in text
    assert str(Path.home()) + os.sep not in text
    assert "NBVAL_" not in text


@LESSONS
def test_every_picture_has_alt_text_and_a_title(lesson: Lesson) -> None:
    pictures = [one for cell in code_cells(lesson) for one in cell.outputs if "image/png" in one.get("data", {})]
    assert pictures
    for picture in pictures:
        assert picture.metadata["image/png"]["alt"] == picture.data["text/plain"]
        assert len(picture.data["text/plain"]) > 40


@LESSONS
def test_cells_are_short(lesson: Lesson) -> None:
    for cell in build(lesson).cells:
        if cell.cell_type != "code" or "exercise" in cell.metadata.get("tags", []):
            continue
        limit = 42 if cell.source.startswith("# app_snippets/") else 15
        lines = [line for line in cell.source.splitlines() if line.strip()]
        assert len(lines) <= limit, cell.source


@LESSONS
def test_the_text_keeps_its_rules(lesson: Lesson) -> None:
    text = re.sub(r"```.*?```", "", (lesson.folder / "lesson.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    assert not HEAVY.search(text), HEAVY.search(text)
    levels = [len(marks) for marks in re.findall(r"^(#+) ", text, re.MULTILINE)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert levels.count(1) == 1
    for heading in ("## Recap", "## In production", "**Predict.**", "· before this:", "You will be able to"):
        assert heading in text
    assert not re.findall(r"\[(?:here|this|link)\]", text)


@LESSONS
def test_numbers_live_in_course_toml_only(lesson: Lesson) -> None:
    assert not re.search(r"\d", lesson.slug)
    for number, one in enumerate(exercises_of(lesson.slug), start=1):
        assert one.number == f"{lesson.number}.{number}"
    assert not re.search(r"Exercise \d", (lesson.folder / "lesson.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", APPS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_an_app_stands_alone(path: Path) -> None:
    """It imports by itself, without the bench, in a process of its own."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names])
    }
    assert "workbench" not in imported
    assert ast.get_docstring(tree)
    assert path.name.startswith("wrong_") == (ast.get_docstring(tree) or "").startswith("WRONG")
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    assert len(lines) <= 40
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([sys.executable, "-W", "error", path], check=True, cwd="/", env=environment, capture_output=True)


@pytest.mark.parametrize("path", APPS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_app_is_used_by_its_lesson(path: Path) -> None:
    text = (path.parent / "lesson.md").read_text(encoding="utf-8")
    assert path.stem in text


NO_APPS = ("nested_loops", "work", "sse_client", "hub")  # a script, a process pool's functions, a client, a class


def test_apps_are_fastapi_apps() -> None:
    found = [
        getattr(importlib.import_module(f"app_snippets.{path.parent.name}.{path.stem}"), "app", None)
        for path in APPS
        if path.stem not in NO_APPS
    ]
    assert all(isinstance(one, fastapi.FastAPI) for one in found)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("# BEGIN SOLUTION\nx = 1", "without # END SOLUTION"),
        ("# BEGIN SOLUTION\nx = 1\n# STARTER\nx = 2\n# END SOLUTION", "lacks '# |'"),
    ],
)
def test_a_badly_marked_exercise_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: str, message: str
) -> None:
    (tmp_path / "one" / "exercises").mkdir(parents=True)
    (tmp_path / "one" / "exercises" / "two.py").write_text(lines)
    monkeypatch.setattr(course, "SNIPPETS", tmp_path)
    with pytest.raises(CourseError, match=message):
        course.starter_cell("one/two")
