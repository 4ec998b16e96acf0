"""The house around the course: pins, Binder, the README, lint and types."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from workbench import course

ROOT = course.ROOT


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)


def test_lint() -> None:
    done = run("ruff", "check", ".")
    assert done.returncode == 0, done.stdout
    done = run("ruff", "format", "--check", ".")
    assert done.returncode == 0, done.stdout


def test_types() -> None:
    done = run("mypy")
    assert done.returncode == 0, done.stdout


def test_binder_installs_the_same_pins() -> None:
    assert (ROOT / "binder/requirements.txt").read_bytes() == (ROOT / "requirements.txt").read_bytes()


def pins(name: str) -> list[str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return [line.partition(" ;")[0] for line in lines if line and not line.startswith((" ", "#"))]


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_requirement_is_pinned(name: str) -> None:
    assert len(pins(name)) > 50
    assert all(re.match(r"[\w.\-\[\],]+==\S+", line) for line in pins(name))
    for package in ("jupyterlab", "fastapi", "uvicorn", "httpx", "nest-asyncio", "websockets", "nbval"):
        assert any(line.startswith(f"{package}==") for line in pins(name)), package


def test_what_a_learner_gets_is_part_of_what_proves_it_and_holds_no_tool_of_proof() -> None:
    learners, proof = set(pins("requirements.txt")), set(pins("requirements-dev.txt"))
    assert learners < proof
    tools = ("jupyter-repo2docker", "mypy", "playwright", "pytest-xdist", "ruff", "uv")
    extra = {line.partition("==")[0] for line in proof - learners}
    assert extra >= {*tools}


def test_what_is_installed_is_what_is_pinned() -> None:
    from importlib.metadata import version

    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    for name in ("fastapi", "uvicorn", "httpx", "jupyterlab", "nbval", "starlette"):
        assert f"{name}=={version(name)}\n" in text


@pytest.mark.skipif(sys.platform == "win32", reason="repo2docker needs a POSIX system")
def test_binder_builds_python_313_with_these_pins(tmp_path: Path) -> None:
    copied = tmp_path / "repo"
    shutil.copytree(ROOT / "binder", copied / "binder")
    done = run("repo2docker", "--no-build", "--debug", str(copied))
    assert done.returncode == 0, done.stderr
    dockerfile = done.stdout + done.stderr
    assert "Building conda environment for python=3.13" in dockerfile
    assert '-r "binder/requirements.txt"' in dockerfile
    assert "binder/postBuild" in dockerfile


def test_the_readme_lists_the_lessons_in_order() -> None:
    rows = re.findall(r"^\| \[(\d\d) (.+?)\]\((.+?)\)", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    expected = [
        (f"{one.number:02}", one.title, f"notebooks/{one.notebook.name}") for one in course.lessons()
    ]  # fmt: skip
    assert rows == expected


def test_the_makefile_knows_its_commands() -> None:
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    for command in ("lab", "test", "answers", "notebooks", "machines", "bench", "venv", "requirements"):
        assert f"make {command}" in done.stdout


def test_no_secrets_and_no_outside_addresses_in_the_bench() -> None:
    for path in (ROOT / "workbench").glob("*.py"):
        for address in re.findall(r"https?://[\w.{]+", path.read_text(encoding="utf-8")):
            assert address in ("http://{HOST", "http://127.0.0.1"), f"{path.name}: {address}"
