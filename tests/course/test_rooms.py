"""The rooms of the bench: who may know whom."""

import ast
from pathlib import Path

import pytest

from workbench import course

BENCH = course.ROOT / "workbench"
FLOORS = ["course", "clock", "server", "around", "show", "judge", "notebook", "build"]  # each knows those before it
NEVER = {("judge", "show"), ("notebook", "show"), ("build", "show")}  # pictures and claims are for lessons
MODULES = sorted(BENCH.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """The modules that a file of the bench imports of it, wherever in the file it does: `judge.answer`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "workbench":
            inside = (node.module or "").partition(".")[2]
            names = [f"{inside}.{one.name}".strip(".") for one in node.names]
            found |= {name if module_of(name) else inside for name in names}
        assert not (isinstance(node, ast.Import) and any(one.name.startswith("workbench.") for one in node.names)), path
    return found


def module_of(name: str) -> Path | None:
    place = BENCH.joinpath(*name.split("."))
    return next((one for one in (place.with_suffix(".py"), place / "__init__.py") if one.is_file()), None)


def room(path: Path) -> str:
    return path.relative_to(BENCH).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(BENCH)))
def test_imports_run_one_way(path: Path) -> None:
    if path == BENCH / "__init__.py":  # the front door
        return
    mine = room(path)
    for name in imported(path):
        theirs = name.partition(".")[0]
        assert FLOORS.index(theirs) <= FLOORS.index(mine), f"{mine} is below {theirs}"
        assert (mine, theirs) not in NEVER, f"{mine} has no business in {theirs}"


def test_there_is_no_circle() -> None:
    knows = {
        path: {found for name in imported(path) if (found := module_of(name)) and found.name != "__init__.py"}
        for path in MODULES
        if path.name != "__init__.py"
    }
    while knows:
        free = [path for path, others in knows.items() if not others & knows.keys()]
        assert free, f"these import one another: {[str(path.relative_to(BENCH)) for path in knows]}"
        for path in free:
            del knows[path]


def test_every_room_says_who_may_enter() -> None:
    for door in BENCH.glob("*/__init__.py"):
        said = ast.get_docstring(ast.parse(door.read_text(encoding="utf-8"))) or ""
        assert "enter" in said or "knows it" in said, door
    assert {room(path) for path in MODULES} == {*FLOORS, "__init__"}


@pytest.mark.parametrize("path", sorted(course.SNIPPETS.glob("*/checks*")), ids=lambda path: path.parent.name)
def test_checks_enter_the_rooms_by_their_doors(path: Path) -> None:
    for file in [path] if path.is_file() else path.glob("*.py"):
        for name in imported(file):
            assert name.partition(".")[0] in ("clock", "server", "around", "judge"), f"{file}: {name}"
