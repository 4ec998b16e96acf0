"""Change the course's own answers, one thing at a time, and judge what comes of it.

    python -m tests.benchmarks.mutants [lesson[/exercise] …]

An await, a `with`, a `finally` or a statement is left out; an except is widened; a number, a comparison, a string
is changed, a keyword left out: all in what the learner writes. Whatever passes is either a hole in the check or
changes nothing that the exercise asks for. Those of the second kind stand in tests/<lesson>/survivors.toml, each with
its reason.
"""

import argparse
import ast
import asyncio
import copy
import difflib
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench import course
from workbench.judge import PASSED, exercises_of, find_exercise
from workbench.judge.verdicts import verdict_on, warm_up

TESTS = Path(__file__).parent.parent
OTHER: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}

Change = tuple[str, Callable[[Any], None]]  # what is changed, and what does it to a tree that is like the answer's


@dataclass(frozen=True)
class Mutant:
    """The answer to `exercise` with one thing changed. `label` says which: "no await: `asyncio.sleep(0.2)`"."""

    exercise: str
    label: str
    source: str


def mutants(name: str) -> list[Mutant]:
    """All that is made of the answer to the exercise `name`."""
    answer = course.answer_cell(name)
    tree = ast.parse(answer)
    lines = _written_by_the_learner(name)
    before = ast.unparse(tree)
    made: dict[str, str] = {}
    counted: Counter[str] = Counter()
    for place, node in enumerate(ast.walk(tree)):
        if getattr(node, "lineno", 0) not in lines:
            continue
        for what, change in _changes(node):
            changed = copy.deepcopy(tree)
            change(_at(changed, place))
            after = ast.unparse(ast.fix_missing_locations(changed))
            if after == before or after in made:
                continue
            label = f"{what}: `{_line_of(what, node, before, after)}`"
            counted[label] += 1
            made[after] = label if counted[label] == 1 else f"{label} ({counted[label]})"
    return [Mutant(name, label, f"{course.MARKER}{name}\n{source}\n") for source, label in made.items()]


def _written_by_the_learner(name: str) -> set[int]:
    """The numbers of the lines of the answer that are not in the starter."""
    starter, answer = course.starter_cell(name).splitlines(), course.answer_cell(name).splitlines()
    steps = difflib.SequenceMatcher(None, starter, answer, autojunk=False).get_opcodes()
    return {number + 1 for kind, _, _, start, end in steps if kind != "equal" for number in range(start, end)}


def _at(tree: ast.AST, place: int) -> ast.AST:
    return next(node for number, node in enumerate(ast.walk(tree)) if number == place)


def _line_of(what: str, node: ast.AST, before: str, after: str) -> str:
    """The line that a label shows: what was left out, or what became of a line."""
    if isinstance(node, ast.stmt) and what != "no await":
        return ast.unparse(node).splitlines()[0]
    steps = difflib.SequenceMatcher(None, before.splitlines(), after.splitlines(), autojunk=False).get_opcodes()
    start = next(start for kind, _, _, start, _ in steps if kind != "equal")
    return after.splitlines()[start].strip()


# what can be changed


def _changes(node: ast.AST) -> Iterator[Change]:
    yield from _in_blocks(node)
    match node:
        case ast.ExceptHandler(type=ast.expr()):
            yield "a wider except", _set("type", ast.Name("Exception"))
            yield "a wider except", _set("type", ast.Name("BaseException"))
        case ast.Constant(value=bool(flag)):
            yield "the opposite", _set("value", not flag)
        case ast.Constant(value=int(number)):
            yield "a number", _set("value", number + 1)
            yield "a number", _set("value", number - 1)
        case ast.Constant(value=float(number)):
            yield "a number", _set("value", number * 2)
            yield "a number", _set("value", number / 2)
        case ast.Constant(value=str(text)):
            yield "a string", _set("value", text + "x")
        case ast.Constant(value=bytes(data)):
            yield "a string", _set("value", data + b"x")
        case ast.Compare(ops=[operator]) if type(operator) in OTHER:
            yield "a comparison", _set("ops", [OTHER[type(operator)]()])
        case ast.BoolOp(op=operator):
            yield "and for or", _set("op", ast.Or() if isinstance(operator, ast.And) else ast.And())
        case ast.Call(keywords=given):
            for place in range(len(given)):
                yield "no keyword", _set("keywords", given[:place] + given[place + 1 :])
    for name, value in ast.iter_fields(node):
        if isinstance(value, ast.Await):
            yield "no await", _set(name, value.value)
        for place, part in enumerate(value if isinstance(value, list) else []):
            if isinstance(part, ast.Await):
                yield "no await", _set(name, [*value[:place], part.value, *value[place + 1 :]])


def _set(name: str, value: object) -> Callable[[Any], None]:
    def change(node: Any) -> None:
        setattr(node, name, value)

    return change


def _in_blocks(node: ast.AST) -> Iterator[Change]:
    """What can be done to a statement: it is the node, and gets other content."""
    if isinstance(node, ast.stmt) and not _is_docstring(node):
        yield "left out", _becomes(lambda _: [ast.Pass()])
    if isinstance(node, ast.With | ast.AsyncWith):
        yield "no with", _becomes(_opened_by_hand)
    if isinstance(node, ast.Try) and node.finalbody:
        yield "no finally", _becomes(lambda one: [*_without_finally(one), *one.finalbody])


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _becomes(make: Callable[[Any], list[ast.stmt]]) -> Callable[[Any], None]:
    """A statement becomes others: `if True:` with these in it."""

    def change(node: Any) -> None:
        block = make(copy.copy(node))
        node.__class__ = ast.If
        node.__dict__.clear()
        vars(node).update(test=ast.Constant(True), body=block, orelse=[])

    return change


def _opened_by_hand(node: ast.With | ast.AsyncWith) -> list[ast.stmt]:
    names = [ast.Assign([one.optional_vars], one.context_expr) for one in node.items if one.optional_vars]
    return [*names, *node.body]


def _without_finally(node: ast.Try) -> list[ast.stmt]:
    return [ast.Try(node.body, node.handlers, node.orelse, [])] if node.handlers else node.body


# judging


def survivors(slug: str) -> dict[str, dict[str, str]]:
    """For each exercise of a lesson the mutants that may pass, each with the reason."""
    path = TESTS / slug / "survivors.toml"
    return tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


async def passing(todo: list[Mutant], at_once: int) -> list[Mutant]:
    """Those of the mutants that pass, `at_once` judged at a time."""
    waiting, found = iter(todo), list[Mutant]()

    async def work() -> None:
        for mutant in waiting:
            verdict = await verdict_on(find_exercise(mutant.exercise), mutant.source)
            if verdict.state == PASSED:
                found.append(mutant)

    await asyncio.gather(*(work() for _ in range(at_once)))
    return [one for one in todo if one in found]


def main() -> int:
    """The command line. Returns the exit status: 1 where a mutant passes that has no reason to."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.mutants",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("chosen", nargs="*", metavar="lesson[/exercise]", help="whose answers to change (default: all)")
    parser.add_argument("--at-once", type=int, default=4, help="judging processes side by side (default: 4)")
    options = parser.parse_args()
    names = [one.name for lesson in course.lessons() for one in exercises_of(lesson.slug)]
    names = [one for one in names if not options.chosen or one.startswith(tuple(options.chosen))]
    if not names:
        parser.error(f"no exercise starts with {' or '.join(options.chosen)}")
    warm_up()
    judged = unexplained = passed = 0
    for name in names:
        slug, _, exercise = name.partition("/")
        reasons = survivors(slug).get(exercise, {})
        todo = mutants(name)
        through = asyncio.run(passing(todo, options.at_once))
        without = [one for one in through if one.label not in reasons]
        judged, passed, unexplained = judged + len(todo), passed + len(through), unexplained + len(without)
        print(f"{name}: {len(todo)} changed answers, {len(through)} pass, {len(without)} of them without a reason")
        for one in without:
            print(f"    {one.label}")
        made, wrong = {one.label for one in todo}, reasons.keys() - {one.label for one in through}
        for label in sorted(wrong):
            print(f"    has a reason to pass, but is {'refused' if label in made else 'not made'}: {label}")
        sys.stdout.flush()
    print(f"{judged} changed answers, {passed} pass, {unexplained} of them without a reason")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
