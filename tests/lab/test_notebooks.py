"""Every notebook in a real JupyterLab in headless Chromium: Run All, no error, no outside host, a picture of it."""

import pytest
from playwright.sync_api import Browser

from tests.answers import known_answers
from tests.lab.jupyterlab import ARTIFACTS, Lab, open_notebook
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
        opened.close()


def test_a_wrong_answer_shows_its_card_and_run_all_goes_on_after_the_next_try(browser: Browser, lab: Lab) -> None:
    """What a learner sees: the diagnosis in a card without a traceback; then, once it is fixed, that it passed."""
    wrong = next(one for one in known_answers("mistakes") if one.path.stem == "one_after_another")
    opened = open_notebook(browser, lab, course.lesson("live_laboratory").notebook.name)
    try:
        opened.run_cells({0: wrong.source, 1: f'await check("{wrong.exercise}")'})
        card = opened.page.locator(".jp-OutputArea-output div[style*='border-left']").last
        assert "0.2 Measure a burst: not yet" in card.inner_text()
        assert wrong.diagnosis in card.inner_text()
        assert [text.strip() for text in opened.errors()] == ["NotYet: the card above says why."]
        card.scroll_into_view_if_needed()
        card.locator("xpath=ancestor::div[contains(@class,'jp-Cell-outputWrapper')]").screenshot(
            path=ARTIFACTS / "card_not_yet.png"
        )
        opened.run_cells({0: course.answer_cell(wrong.exercise), 1: f'await check("{wrong.exercise}")'})
        assert "0.2 Measure a burst: passed" in card.inner_text()
        assert opened.errors() == []
    finally:
        opened.close()
