"""Shared by all tests."""

from typing import Any

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio."""
    return "asyncio"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give workers whole files, as `--dist loadfile` does, but of the answers one exercise's at a time.

    They are half of all the work, and in one worker the others would wait for it.
    """
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class ByExercise(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file, _, test = nodeid.partition("::")
            if file != "tests/course/test_answers.py":
                return file
            exercise, _, _ = test.partition("[")[2].rstrip("]").partition("-")
            return f"{file}/{exercise}"

    return ByExercise(config, log)
