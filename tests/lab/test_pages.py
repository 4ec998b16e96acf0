"""Live pages in a real JupyterLab, on a laptop and below a base URL: a person's clicks in headless Chromium."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.lab.jupyterlab import ARTIFACTS, Lab, Opened, open_notebook
from workbench import course

pytestmark = pytest.mark.browser

OPEN = Callable[..., Opened]


@pytest.fixture
def run(browser: Browser, any_lab: Lab) -> Iterator[OPEN]:
    """Runs cells in a notebook of JupyterLab; at the end, that its page asked nobody outside."""
    opened = open_notebook(browser, any_lab, course.lesson("live_laboratory").notebook.name)

    def run_cells(*cells: str) -> Opened:
        opened.run_cells(dict(enumerate(cells)))
        assert opened.errors() == []
        return opened

    yield run_cells
    opened.run_cells({0: "await finish()"})
    assert opened.errors() == []
    assert {host.partition(":")[0] for host in opened.hosts} <= {"127.0.0.1", ""}
    opened.page.context.close()


def test_documentation(run: OPEN) -> None:
    opened = run(
        "from fastapi import FastAPI\napp = FastAPI(title='Shown offline')\n"
        "@app.get('/figures')\ndef figures() -> int: return 42",
        "server = serve(app)\npage(server, '/docs', height=600)",
    )
    docs = opened.page.frame_locator("iframe.workbench-page")
    expect(docs.get_by_text("Shown offline")).to_be_visible(timeout=20_000)
    docs.get_by_text("/figures").first.click()
    docs.get_by_role("button", name="Try it out").click()
    docs.get_by_role("button", name="Execute").click()
    expect(docs.locator(".live-responses-table tr.response .response-col_status")).to_contain_text(
        "200", timeout=20_000
    )
    ARTIFACTS.mkdir(exist_ok=True)
    opened.page.screenshot(path=ARTIFACTS / "docs.png")
