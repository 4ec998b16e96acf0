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
