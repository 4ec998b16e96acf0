"""nbval on copies of the notebooks: solved, wrong, untouched, required; whatever outputs are stored."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from tests.answers import known_answers
from workbench import course
from workbench.build.notebooks import build
from workbench.course import Lesson
from workbench.judge import exercises_of


def nbval(*paths: Path, required: bool = False) -> tuple[int, str]:
    """Run `pytest --nbval` on notebooks as a learner or a teacher would; exit status and output."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "EXERCISES"))}
    if required:
        environment["EXERCISES"] = "required"
    command = [sys.executable, "-m", "pytest", "--nbval", "-p", "no:cacheprovider", "--color=no", *map(str, paths)]
    done = subprocess.run(command, cwd=paths[0].parent, env=environment, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


def copy_with(lesson: Lesson, folder: Path, answers: dict[str, str], *, stored: bool = True) -> Path:
    """A learner's copy of the committed notebook with these exercise cells; `stored` keeps its old outputs."""
    notebook = nbformat.read(lesson.notebook, as_version=4)
    for cell in notebook.cells:
        name = cell.source.partition("\n")[0].removeprefix(course.MARKER)
        if name in answers and cell.cell_type == "code":
            cell.source = answers[name]
        if not stored and cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    path = folder / lesson.notebook.name
    nbformat.write(notebook, path)
    return path


def short_copy(folder: Path, name: str, cell: str, stored: list[str] | None = None) -> Path:
    """A copy that has only the imports and one exercise left."""
    lesson = course.lesson(name.partition("/")[0])
    notebook = build(lesson)
    check = next(place for place, one in enumerate(notebook.cells) if one.source == f'await check("{name}")')
    notebook.cells = [notebook.cells[1], notebook.cells[check - 1], notebook.cells[check]]
    notebook.cells[1].source = cell
    for one in notebook.cells:
        one.execution_count = 1
    notebook.cells[2].outputs = [nbformat.v4.new_output("stream", text=text) for text in stored or []]
    path = folder / "copy.ipynb"
    nbformat.write(notebook, path)
    return path


@pytest.mark.parametrize("first", range(0, len(course.lessons()), 4))  # a few in one go: pytest takes long to start
def test_solved_copies_pass_with_every_check_passed(first: int, tmp_path: Path) -> None:
    lessons = course.lessons()[first : first + 4]
    solved = [
        copy_with(lesson, tmp_path, {one.name: course.answer_cell(one.name) for one in exercises_of(lesson.slug)})
        for lesson in lessons
    ]
    status, said = nbval(*solved, required=True)
    assert status == 0, said
    for lesson in lessons:
        for one in exercises_of(lesson.slug):
            assert f"  ✔ {one.label}: passed." in said


NAME = "live_laboratory/burst"


def test_a_wrong_answer_fails_with_its_diagnosis(tmp_path: Path) -> None:
    wrong = next(one for one in known_answers("mistakes") if one.path.stem == "one_after_another")
    status, said = nbval(short_copy(tmp_path, wrong.exercise, wrong.source))
    assert status == 1
    assert "copy.ipynb, exercise ✘ 0.2 Measure a burst: not yet" in said
    assert wrong.diagnosis in said
    assert "  ✘ 0.2 Measure a burst: not yet" in said.partition("= exercises =")[2]
    assert "Traceback" not in said


def test_not_attempted_passes_unless_it_is_required(tmp_path: Path) -> None:
    path = short_copy(tmp_path, NAME, course.starter_cell(NAME))
    status, said = nbval(path)
    assert status == 0, said
    assert "  ○ 0.2 Measure a burst: not attempted" in said
    status, said = nbval(path, required=True)
    assert status == 1
    assert "○ 0.2 Measure a burst: not attempted, and it is required" in said


@pytest.mark.parametrize("stored", [[], ["what an older run said\n"], ["✘ 0.2 Measure a burst: not yet\n"]])
def test_stored_outputs_of_a_copy_do_not_matter(tmp_path: Path, stored: list[str]) -> None:
    status, said = nbval(short_copy(tmp_path, NAME, course.answer_cell(NAME), stored))
    assert status == 0, said


def test_the_courses_own_notebook_is_compared_strictly(tmp_path: Path) -> None:
    lesson = course.lessons()[0]
    notebook = nbformat.read(lesson.notebook, as_version=4)
    claimed = next(one for one in notebook.cells if one.cell_type == "code" and "claim(" in one.source)
    claimed.outputs[0].text = "✔ something else\n"
    path = tmp_path / lesson.notebook.name
    nbformat.write(notebook, path)
    status, said = nbval(path)
    assert status == 1
    assert "something else" in said


def test_a_run_leaves_the_learners_progress_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    progress = tmp_path / "progress.json"
    monkeypatch.setenv("WORKBENCH_PROGRESS", str(progress))
    status, said = nbval(short_copy(tmp_path, NAME, course.answer_cell(NAME)))
    assert status == 0, said
    assert not progress.exists()
