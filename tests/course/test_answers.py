"""Every exercise: the answer passes, each known mistake earns its own diagnosis, each alternative passes."""

import asyncio
from collections import Counter

import pytest

from tests.answers import KnownAnswer, known_answers
from workbench import course
from workbench.judge import NOT_YET, PASSED, Exercise, Verdict, exercises_of, find_exercise
from workbench.judge.verdicts import verdict_on, warm_up
from workbench.notebook.cards import in_words

EXERCISES = [one for lesson in course.lessons() for one in exercises_of(lesson.slug)]


@pytest.fixture(scope="module", autouse=True)
def _warm() -> None:
    warm_up()


def judged(name: str, source: str) -> Verdict:
    return asyncio.run(verdict_on(find_exercise(name), source))


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda one: one.name)
def test_the_courses_own_answer_passes(exercise: Exercise) -> None:
    verdict = judged(exercise.name, course.answer_cell(exercise.name))
    assert verdict.state == PASSED, in_words(exercise, verdict)
    assert verdict.summary


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda one: one.name)
def test_the_starter_itself_does_not_pass(exercise: Exercise) -> None:
    verdict = judged(exercise.name, course.starter_cell(exercise.name))
    assert verdict.state == NOT_YET
    assert verdict.diagnosis


@pytest.mark.parametrize("answer", known_answers("alternatives"), ids=str)
def test_an_alternative_passes(answer: KnownAnswer) -> None:
    verdict = judged(answer.exercise, answer.source)
    assert verdict.state == PASSED, in_words(find_exercise(answer.exercise), verdict)


@pytest.mark.parametrize("answer", known_answers("mistakes"), ids=str)
def test_a_mistake_earns_its_own_diagnosis(answer: KnownAnswer) -> None:
    verdict = judged(answer.exercise, answer.source)
    assert verdict.state == NOT_YET
    assert answer.diagnosis in verdict.diagnosis, in_words(find_exercise(answer.exercise), verdict)
    assert verdict.tried
    assert verdict.expected
    assert verdict.seen


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda one: one.name)
def test_there_are_enough_known_answers(exercise: Exercise) -> None:
    diagnoses = [one.diagnosis for one in known_answers("mistakes") if one.exercise == exercise.name]
    assert len(set(diagnoses)) >= 3, "three mistakes with a diagnosis of their own"
    assert Counter(one.exercise for one in known_answers("alternatives"))[exercise.name] >= 1
    assert exercise.hints
