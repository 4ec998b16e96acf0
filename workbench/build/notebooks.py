"""Build the notebooks: lesson.md + apps + exercises → notebooks/NN_slug.ipynb, executed.

    python -m workbench.build              build and execute every lesson
    python -m workbench.build lifespan     only that one
    python -m workbench.build --check      build nothing; fail where a committed notebook's sources differ

A notebook's outputs are of one run. Where a rebuilt one says the same in every cell, after sanitising, as nbval
compares them, the committed one stays as it is. So building twice leaves no diff. Delete a notebook to have it new.
"""

import argparse
import hashlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from workbench import course
from workbench.build.kernels import config
from workbench.build.sanitizing import sanitized
from workbench.course import CourseError, Lesson
from workbench.judge.exercise import Exercise, exercises_of

CELL_TIMEOUT = 60  # seconds

_LOAD = re.compile(r"^%load (app_snippets/\S+\.py)$", re.MULTILINE)
_CHECK = re.compile(r'^await check\("([^"]+)"\)$', re.MULTILINE)
_LESSON_LINK = re.compile(r"\]\(lesson:(\w+)\)")


def build(lesson: Lesson) -> nbformat.NotebookNode:
    """The notebook of a lesson, without outputs. Raises CourseError naming the line at fault."""
    notebook = jupytext.read(lesson.folder / "lesson.md", fmt="md:myst")
    exercises = exercises_of(lesson.slug)
    _number_exercises(lesson, notebook.cells, exercises)
    for place, cell in enumerate(notebook.cells):
        tags = cell.metadata.get("tags", [])
        if cell.cell_type == "markdown":
            cell.source = _LESSON_LINK.sub(lambda link: f"]({course.lesson(link[1]).notebook.name})", cell.source)
        elif _LOAD.search(cell.source):
            cell.source = _loaded(lesson, cell.source)
        cell.id = f"{lesson.slug[:40]}-{place:03}"
        if "exercise" in tags:
            name = cell.source.partition("\n")[0].removeprefix(course.MARKER)
            cell.id = f"answer-{name.replace('/', '--')}"
        cell.metadata = {"tags": tags} if tags else {}
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        "lesson": {"slug": lesson.slug, "sources": "", "outputs": ""},
    }
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.metadata["lesson"]["sources"] = digest(notebook)
    return notebook


def digest(notebook: nbformat.NotebookNode) -> str:
    """A checksum of all cells' kinds and sources, which tells the course's notebook from a learner's copy."""
    sources = [[cell.cell_type, cell.source] for cell in notebook.cells]
    return hashlib.sha256(json.dumps(sources).encode()).hexdigest()


def outputs_digest(notebook: nbformat.NotebookNode) -> str:
    """A checksum of all outputs, which tells those of one run from others that were put in their place."""
    outputs = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    return hashlib.sha256(json.dumps(outputs, sort_keys=True).encode()).hexdigest()


def _loaded(lesson: Lesson, source: str) -> str:
    """Put the file that a `%load` line names in its place: an app with its path, an exercise as its starter."""
    match = _LOAD.fullmatch(source.strip())
    if match is None:
        raise CourseError(f"{lesson.slug}/lesson.md: a %load stands alone in its cell: {source!r}")
    path = course.ROOT / match[1]
    if not path.is_file():
        raise CourseError(f"{lesson.slug}/lesson.md loads {match[1]}, which does not exist")
    if path.parent.name == "exercises":
        return course.starter_cell(f"{path.parent.parent.name}/{path.stem}")
    return f"# {match[1]}\n{path.read_text(encoding='utf-8').rstrip()}"


def _number_exercises(lesson: Lesson, cells: list[Any], exercises: list[Exercise]) -> None:
    """Give each `## Exercise: title` heading its number, and hold headings and checks to the registered order."""
    headed = [
        (cell, title) for cell in cells if cell.cell_type == "markdown" for title in _exercise_headings(cell.source)
    ]
    titles = [title for _, title in headed]
    if titles != [one.title for one in exercises]:
        raise CourseError(
            f"{lesson.slug}: lesson.md has the exercises {titles}, its checks {[one.title for one in exercises]}"
        )
    checked = [name for cell in cells if cell.cell_type == "code" for name in _CHECK.findall(cell.source)]
    if checked != [one.name for one in exercises]:
        raise CourseError(
            f"{lesson.slug}: lesson.md checks {checked}, and its checks are {[one.name for one in exercises]}"
        )
    for (cell, title), one in zip(headed, exercises, strict=True):
        cell.source = cell.source.replace(f"## Exercise: {title}", f"## Exercise {one.number}: {title}")


def _exercise_headings(markdown: str) -> list[str]:
    return re.findall(r"^## Exercise: (.+)$", markdown, re.MULTILINE)


def execute(lesson: Lesson, notebook: nbformat.NotebookNode) -> None:
    """Run all cells, where the learner would. Raises CourseError with the failing cell's error."""
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        record_timing=False,
        config=config(),
        resources={"metadata": {"path": str(course.NOTEBOOKS)}},
    )
    with tempfile.TemporaryDirectory() as folder:
        os.environ["WORKBENCH_PROGRESS"] = str(Path(folder) / "progress.json")
        try:
            client.execute()
        except CellExecutionError as error:
            raise CourseError(f"{lesson.slug} does not run: {error}") from None
        finally:
            del os.environ["WORKBENCH_PROGRESS"]
    notebook.metadata["language_info"] = {"name": "python"}  # no versions: they would differ by machine
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = list(_merged(cell.outputs))
    notebook.metadata["lesson"]["outputs"] = outputs_digest(notebook)


def _merged(outputs: list[Any]) -> Iterator[Any]:
    """Join neighbouring pieces of one stream: how it was cut depends on timing."""
    last = None
    for output in outputs:
        if last and output.output_type == last.output_type == "stream" and output.name == last.name:
            last.text += output.text
            continue
        last = output
        yield output


def says_the_same(notebook: nbformat.NotebookNode, committed: nbformat.NotebookNode) -> bool:
    """Whether a notebook has the cells of the committed one, and each says the same, as nbval compares them."""
    cells = [[(one.id, one.cell_type, one.source) for one in both.cells] for both in (notebook, committed)]
    said = [[_said(one.get("outputs", [])) for one in both.cells] for both in (notebook, committed)]
    return cells[0] == cells[1] and said[0] == said[1]


def _said(outputs: list[Any]) -> list[Any]:
    """What nbval compares of outputs, sanitised."""
    return [
        (output.output_type, sanitized(output.get("text", "")), sorted(_texts(output.get("data", {})).items()))
        for output in outputs
    ]


def _texts(data: dict[str, Any]) -> dict[str, str]:
    return {kind: "" if kind == "image/png" else sanitized(str(value)) for kind, value in data.items()}


def written(notebook: nbformat.NotebookNode) -> str:
    """The notebook's file content."""
    return str(nbformat.writes(notebook)) + "\n"


def sources_differ(lesson: Lesson) -> str:
    """How the committed notebook's sources differ from a fresh build, in a sentence, or "" when they do not."""
    if not lesson.notebook.is_file():
        return f"{lesson.notebook.name} is missing"
    committed = nbformat.read(lesson.notebook, as_version=4)
    fresh = build(lesson)
    fresh.metadata["lesson"]["outputs"] = outputs_digest(committed)
    if (
        [(cell.id, cell.cell_type, cell.source, cell.metadata) for cell in committed.cells]
        == [(cell.id, cell.cell_type, cell.source, cell.metadata) for cell in fresh.cells]
    ) and committed.metadata == fresh.metadata:
        return ""
    return f"{lesson.notebook.name} is not what its sources build"


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m workbench.build", description="Build and execute the notebooks.")
    parser.add_argument("lessons", nargs="*", help="names of lessons, as in app_snippets/course.toml (default: all)")
    parser.add_argument("--check", action="store_true", help="only compare: fail where a notebook is out of date")
    options = parser.parse_args(arguments)
    try:
        chosen = [course.lesson(slug) for slug in options.lessons] or list(course.lessons())
        if options.check:
            drifted = [said for lesson in chosen if (said := sources_differ(lesson))]
            known = {lesson.notebook for lesson in course.lessons()}
            if not options.lessons:
                drifted += [
                    f"{path.name} belongs to no lesson"
                    for path in course.NOTEBOOKS.glob("*.ipynb")
                    if path not in known
                ]
            for said in drifted:
                print(f"{said}: run `make notebooks`", file=sys.stderr)
            return 1 if drifted else 0
        for lesson in chosen:
            notebook = build(lesson)
            execute(lesson, notebook)
            path = lesson.notebook
            same = path.is_file() and says_the_same(notebook, nbformat.read(path, as_version=4))
            if not same or sources_differ(lesson):
                path.write_text(written(notebook), encoding="utf-8")
            print(f"built {path.relative_to(course.ROOT)}" + (", which says the same as before" if same else ""))
    except CourseError as error:
        print(error, file=sys.stderr)
        return 1
    return 0
