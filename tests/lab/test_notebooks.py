"""Every notebook in a real JupyterLab in headless Chromium: Run All, no error, no outside host, a picture of it."""

import pytest
from playwright.sync_api import Browser

from tests.lab.jupyterlab import Lab, open_notebook
from workbench import course

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("lesson", course.lessons(), ids=lambda lesson: lesson.slug)
def test_run_all(browser: Browser, lab: Lab, lesson: course.Lesson) -> None:
    opened = open_notebook(browser, lab, lesson.notebook.name)
    try:
        opened.run_all()
        assert opened.errors() == []
        pictures = opened.page.locator(".jp-RenderedImage img").count()
        assert pictures >= 1
        assert {host.partition(":")[0] for host in opened.hosts} <= {"127.0.0.1"} | {""}
        assert opened.screenshot(lesson.slug).stat().st_size > 50_000
    finally:
        opened.page.context.close()
