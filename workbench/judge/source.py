"""What is in a cell's source: only to choose the words of a diagnosis, never to judge."""

import ast
from typing import TypeVar

Tree = ast.AST | str
Function = ast.FunctionDef | ast.AsyncFunctionDef
N = TypeVar("N", bound=ast.AST)


def nodes(tree: Tree, *kinds: type[N]) -> list[N]:
    """All nodes of these kinds in a part of the source, or in all of it, outermost first."""
    whole = ast.parse(tree) if isinstance(tree, str) else tree
    return [one for one in ast.walk(whole) if isinstance(one, kinds)]


def functions(tree: Tree) -> list[Function]:
    """All functions."""
    return nodes(tree, ast.FunctionDef, ast.AsyncFunctionDef)


def calls(tree: Tree, name: str) -> list[ast.Call]:
    """The calls of a function or method of that name."""
    return [one for one in nodes(tree, ast.Call) if ast.unparse(one.func).rpartition(".")[2] == name]


def changed_parts(starter: str, answer: str, mine: str) -> list[str]:
    """The names of the functions, classes and constants that starter and answer share, and that are not so in mine."""
    of_starter, of_answer, of_mine = map(_parts, (starter, answer, mine))
    given = {name: shape for name, shape in of_starter.items() if of_answer.get(name) == shape}
    return [name for name, shape in given.items() if of_mine.get(name) != shape]


def _parts(source: str) -> dict[str, str]:
    """What a module defines at its top level, by name: what it is like, apart from comments and layout."""
    found = {}
    for node in ast.parse(source).body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found[name] = ast.dump(node)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                found[name] = ast.dump(node)
    return found
