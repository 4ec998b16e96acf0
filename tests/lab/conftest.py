"""A real JupyterLab and a real browser for the tests of this folder."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.lab.jupyterlab import QUIET, Lab, start_lab
from workbench import course


@pytest.fixture(scope="module")  # playwright keeps a loop running in this thread until it is stopped
def browser() -> Iterator[Browser]:
    """Headless Chromium of the system's. Skips without it, unless CI says that it must be there."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        missing = "no Chromium: apt-get install -y --no-install-recommends chromium fonts-dejavu-core"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """JupyterLab on a copy of the notebooks, so that its autosave never touches the committed ones."""
    with _lab(tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture(scope="module", params=["/", "/user/x/"], ids=["laptop", "base URL"])
def any_lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """JupyterLab as on a laptop, and below a base URL as JupyterHub and Binder start it."""
    with _lab(tmp_path_factory.mktemp("lab"), f"--ServerApp.base_url={request.param}") as running:
        yield running


@contextlib.contextmanager
def _lab(folder: Path, *options: str) -> Iterator[Lab]:
    shutil.copytree(course.NOTEBOOKS, folder / "notebooks", ignore=shutil.ignore_patterns(".*"))
    with tempfile.TemporaryDirectory(prefix="lab-") as runtime:  # a short name: that of a socket has a hundred letters
        process, running = start_lab(folder, Path(runtime), *options)
        yield running
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:  # it waits for its kernels, and so much patience is not what is tested
            process.kill()
            process.wait()
