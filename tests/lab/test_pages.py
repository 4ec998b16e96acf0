"""Live pages in a real JupyterLab, on a laptop and below a base URL: a person's clicks in headless Chromium."""

from collections.abc import Callable, Iterator
from itertools import groupby

import pytest
from playwright.sync_api import Browser, expect

from tests.lab.jupyterlab import ARTIFACTS, PATIENCE, Lab, Opened, open_notebook
from workbench import course

pytestmark = pytest.mark.browser

Run = Callable[..., Opened]


@pytest.fixture(scope="module")
def notebook(browser: Browser, any_lab: Lab) -> Iterator[Opened]:
    opened = open_notebook(browser, any_lab, course.lesson("live_laboratory").notebook.name)
    yield opened
    opened.close()
    opened.page.close()


@pytest.fixture
def run(notebook: Opened) -> Iterator[Run]:
    """Runs cells in a notebook of JupyterLab; at the end, that nothing is left and its page asked nobody outside."""

    def run_cells(*cells: str) -> Opened:
        notebook.run_cells(dict(enumerate(cells)))
        assert notebook.errors() == []
        return notebook

    yield run_cells
    run_cells("await finish()")
    assert {host.partition(":")[0] for host in notebook.hosts} <= {"127.0.0.1", ""}


def test_documentation(run: Run) -> None:
    opened = run(
        "from fastapi import FastAPI\napp = FastAPI(title='Shown offline')\n"
        "@app.get('/figures')\ndef figures() -> int: return 42",
        "server = serve(app)\npage(server, '/docs', height=600)",
    )
    docs = opened.page.frame_locator("iframe.workbench-page")
    expect(docs.get_by_text("Shown offline")).to_be_visible(timeout=1000 * PATIENCE)
    docs.get_by_text("/figures").first.click()
    docs.get_by_role("button", name="Try it out").click()
    docs.get_by_role("button", name="Execute").click()
    expect(docs.locator(".live-responses-table tr.response .response-col_status")).to_contain_text(
        "200", timeout=1000 * PATIENCE
    )
    _keep(opened, "docs")


def test_a_progress_bar_that_is_cut_off_resumes_without_loss(run: Run) -> None:
    opened = run("server = serve('app_snippets.server_sent_events.progress:app')", "page(server)")
    shown = opened.page.frame_locator("iframe.workbench-page")
    shown.locator("#state").evaluate(
        """state => { window.states = [];
                      new MutationObserver(() => window.states.push(state.textContent))
                          .observe(state, {childList: true}); }"""
    )
    shown.locator("#start").click()
    expect(shown.locator("#events li").first).to_be_attached(timeout=1000 * PATIENCE)
    shown.locator("#cut").click()
    expect(shown.locator("#state")).to_have_text("done", timeout=1000 * PATIENCE)
    states = shown.locator("#state").evaluate("() => window.states")
    assert [state for state, _ in groupby(states)] == ["running", "cut off, connecting again", "running", "done"]
    numbers = [one.get_attribute("data-id") for one in shown.locator("#events li").all()]
    assert numbers == [str(number) for number in range(1, 21)]
    assert shown.locator("#bar").evaluate("bar => bar.value") == 20
    _keep(opened, "progress")


def test_a_chat_keeps_to_its_rooms(run: Run) -> None:
    windows = [("red", "Ada"), ("red", "Bob"), ("blue", "Cyd")]
    pages = "\n".join(f"page(server, '/?room={room}&name={name}', height=380)" for room, name in windows)
    opened = run("server = serve('app_snippets.websockets.chat:app')", pages)
    ada, bob, cyd = (opened.page.frame_locator("iframe.workbench-page").nth(number) for number in range(3))
    for window, (room, _) in zip((ada, bob, cyd), windows, strict=True):
        expect(window.locator("#state")).to_have_text(f"in room {room}", timeout=1000 * PATIENCE)
    for window, text in ((ada, "Hello <b>Bob</b>"), (cyd, "Anyone?"), (bob, "Hello Ada")):
        window.locator("#text").fill(text)
        window.locator("#text").press("Enter")
    for window in (ada, bob):
        expect(window.locator("#log li").last).to_have_text("Bob: Hello Ada")
        said = window.locator("#log li").all_text_contents()
        assert [line for line in said if ": " in line] == ["Ada: Hello <b>Bob</b>", "Bob: Hello Ada"]
    expect(cyd.locator("#log li").last).to_have_text("Cyd: Anyone?")
    assert [line for line in cyd.locator("#log li").all_text_contents() if ": " in line] == ["Cyd: Anyone?"]
    bob.locator("#room").fill("blue")
    bob.locator("#join").click()
    expect(ada.locator("#log li").last).to_have_text("Bob has left")
    expect(cyd.locator("#log li").last).to_have_text("Bob has joined")
    _keep(opened, "chat")


def _keep(opened: Opened, name: str) -> None:
    ARTIFACTS.mkdir(exist_ok=True)
    opened.page.screenshot(path=ARTIFACTS / f"{name}.png")
