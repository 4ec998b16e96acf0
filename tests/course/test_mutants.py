"""The answers that are changed on purpose: what is changed, and that what may pass is among them."""

import ast

import pytest

from tests.benchmarks.mutants import mutants, survivors
from workbench import course
from workbench.judge import exercises_of

EXERCISES = [one.name for lesson in course.lessons() for one in exercises_of(lesson.slug)]


@pytest.mark.parametrize("name", EXERCISES)
def test_every_changed_answer_is_one_of_its_own(name: str) -> None:
    made = mutants(name)
    answer = ast.unparse(ast.parse(course.answer_cell(name)))
    sources = [ast.unparse(ast.parse(one.source)) for one in made]
    assert made
    assert answer not in sources
    assert len({one.label for one in made}) == len(set(sources)) == len(made)


@pytest.mark.parametrize("name", EXERCISES)
def test_what_may_pass_is_made_and_has_a_reason(name: str) -> None:
    slug, _, exercise = name.partition("/")
    reasons = survivors(slug).get(exercise, {})
    assert reasons.keys() <= {one.label for one in mutants(name)}
    assert all(reasons.values())


def test_what_is_changed() -> None:
    labels = [one.label for one in mutants("blocking_and_waiting/lag")]
    assert "no await: `await asyncio.sleep(INTERVAL)`" not in labels
    assert "no await: `asyncio.sleep(INTERVAL)`" in labels
    assert "left out: `task.cancel()`" in labels
    assert "the opposite: `while False:`" in labels
