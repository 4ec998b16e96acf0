"""What the exercises of "Shared state and cancellation" are judged with."""

import ast
import sys

from workbench.answer import FILE, place_in_words
from workbench.server import LiveServer


def line_of_the_loop(server: LiveServer) -> str:
    """The line of the cell in which the server's own thread is right now, in words, "" where it is in none."""
    frame = sys._current_frames().get(server.thread.ident or 0)
    while frame is not None and frame.f_code.co_filename != FILE:
        frame = frame.f_back
    return place_in_words(frame.f_lineno) if frame else ""


def functions(source: str) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All functions of the cell: only to choose the words of a diagnosis."""
    tree = ast.parse(source)
    return [one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]


def calls(tree: ast.AST, name: str) -> list[ast.Call]:
    """The calls of a function or method of that name."""
    found = [one for one in ast.walk(tree) if isinstance(one, ast.Call)]
    return [one for one in found if ast.unparse(one.func).rpartition(".")[2] == name]
