"""Shared by all tests."""

from typing import Any

import pytest

ANSWERS = "tests/course/test_answers.py"


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio."""
    return "asyncio"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest file first and the shortest pieces last, so that the workers end together."""
    items.sort(key=lambda item: (not item.nodeid.startswith("tests/lab/"), item.nodeid.startswith(ANSWERS)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give workers whole files, as `--dist loadfile` does, but what is long and needs nothing in common in pieces.

    Of the answers it is an exercise at a time, and of the runs of nbval each by itself. In one worker, each of
    these files would keep the others waiting.
    """
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class InPieces(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file, _, test = nodeid.partition("::")
            if file == ANSWERS:
                exercise, _, _ = test.partition("[")[2].rstrip("]").partition("-")
                return f"{file}/{exercise}"
            return nodeid if file == "tests/course/test_nbval.py" else file

    config.option.loadscopereorder = False
    return InPieces(config, log)
