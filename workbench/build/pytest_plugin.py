"""What pytest needs to prove a notebook of the course with nbval, and to say in words what came of it.

The course's own notebooks are compared strictly, output by output, after sanitising. A learner's copy, which
is one whose sources are not the course's any more, is run and judged: errors and unmet exercises fail, stored
outputs are not compared. EXERCISES=required makes an exercise that is not attempted fail too.
"""

import re
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import nbval.kernel
import pytest
from nbval.plugin import IPyNbCell, IPyNbFile

from workbench.build.kernels import kernel_manager
from workbench.judge.exercise import MARKS

CELL_TIMEOUT = 60.0  # seconds, in place of nbval's 2000
VERDICT = re.compile(rf"[{''.join(MARKS.values())}] \d+\.\d+ .+: ")
PROPERTY = "exercise"  # of a report: the notebook's file name, and the verdict's first line


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Give nbval the course's settings, where the command line does not say otherwise."""
    from workbench.build.sanitizing import PATTERNS_FILE

    patch = pytest.MonkeyPatch()
    config.add_cleanup(patch.undo)
    patch.setattr(nbval.kernel, "KernelManager", kernel_manager)
    _apart_from_the_learners_progress(config, patch)
    option = config.option
    option.nbval_sanitize_with = option.nbval_sanitize_with or str(PATTERNS_FILE)
    if option.nbval_kernel_name is None:
        option.nbval_current_env = True
    if option.nbval_cell_timeout == 2000:
        option.nbval_cell_timeout = CELL_TIMEOUT


def _apart_from_the_learners_progress(config: pytest.Config, patch: pytest.MonkeyPatch) -> None:
    """What passes or fails under pytest neither reads nor changes what the learner has done."""
    folder = tempfile.TemporaryDirectory()
    config.add_cleanup(folder.cleanup)
    patch.setenv("WORKBENCH_PROGRESS", str(Path(folder.name) / "progress.json"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Compare no stored outputs in a learner's copy."""
    for notebook in {item.parent for item in items if isinstance(item, IPyNbCell)}:
        if isinstance(notebook, IPyNbFile) and _is_copy(notebook.nb):
            for item in items:
                if isinstance(item, IPyNbCell) and item.parent is notebook:
                    item.options["check"] = False
                    item.cell.outputs = []


def _is_copy(notebook: Any) -> bool:
    from workbench.build.notebooks import digest

    lesson = notebook.metadata.get("lesson")
    if lesson is None:  # not a notebook of this course: nbval's own rules hold
        return False
    interrupted = any(
        output.output_type == "error" for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs
    )
    return interrupted or bool(lesson.get("sources") != digest(notebook))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Name the exercise that a check cell judged, and let its diagnosis be the failure's message."""
    report = yield
    if report.when != "call" or not isinstance(item, IPyNbCell):
        return report
    verdict = _verdict(item.test_outputs or [])
    if verdict:
        name = Path(str(item.parent.path)).name
        report.user_properties.append((PROPERTY, [name, verdict.partition("\n")[0]]))
        if report.failed:
            report.longrepr = f"{name}, exercise {verdict}"
    return report


def _verdict(outputs: list[Any]) -> str:
    """The words of the verdict that a cell showed, or "" when it showed none."""
    texts = [output.get("evalue", "") for output in outputs if output.output_type == "error"]
    texts += [output["data"].get("text/plain", "") for output in outputs if "data" in output]
    return next((text for text in texts if VERDICT.match(text)), "")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """List the exercises of the notebooks that were run, with their state."""
    shown: dict[str, list[str]] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if name == PROPERTY:
                    shown.setdefault(value[0], []).append(value[1])
    if shown:
        terminalreporter.section("exercises")
        for notebook in sorted(shown):
            terminalreporter.line(notebook)
            for verdict in sorted(shown[notebook], key=lambda text: text[2:]):
                terminalreporter.line(f"  {verdict}")
