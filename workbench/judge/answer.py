"""What a check gets in its hands: the learner's cell, run as a module, and ways to drive it that always come back."""

import ast
import asyncio
import contextlib
import inspect
import linecache
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from types import CodeType, ModuleType
from typing import Any

import httpx

from workbench import clock, course
from workbench.clock import until
from workbench.judge.causes import FOR_EVER, importing, or_held_for_ever, unheard
from workbench.judge.cell import (
    FILE,
    code_of,
    frames_of_the_cell,
    innermost,
    looking,
    loops_of_calls,
    place_in_words,
    where_it_is,
)
from workbench.judge.exercise import Exercise, NotYet, Probe, quoted
from workbench.server.asgi import ServeError
from workbench.server.live import LiveServer, serve

MODULE = "answer"
TIME_TO_LOAD = 4.0  # seconds that the cell gets to run, with all that it imports
PATIENCE = 3.0  # seconds that a client of the answer's server waits, unless a check says otherwise
TURN = 0.05  # seconds between two turns that a loop must have


class TookTooLong(Exception):
    """A call into the answer did not return in time. `where` says in words where it was."""

    def __init__(self, where: str) -> None:
        super().__init__(where)
        self.where = where


@dataclass(frozen=True)
class Held:
    """A stretch in which the answer's code held the loop without giving it back."""

    seconds: float
    line: int
    source: str
    function: str  # the function of the cell that the line is in
    task: str  # the coroutine of the cell that ran as a task of its own, "" for a request's task
    calling: str  # the Python function that the line called, "" for none

    def __str__(self) -> str:
        return f"line {self.line}, `{self.source}`"


class Answer:
    """What the learner's cell defines, and ways to drive it that always come back."""

    def __init__(self, exercise: Exercise, source: str) -> None:
        self.exercise = exercise
        self.source = source
        self.module: ModuleType | None = None  # once it is loaded
        self.lost: list[BaseException] = []  # exceptions of tasks that nobody awaited, once their loop has ended

    async def load(self) -> Any:
        """Run the cell, the first time, and return what it binds to the name that the exercise asks for.

        A check may set up what the cell needs before. Raises NotYet when the cell cannot be used, TookTooLong
        when it does not come to its end.
        """
        if self.module is None:
            self.module = await self.run(lambda: load_cell(self.source, self.exercise), timeout=TIME_TO_LOAD)
        return getattr(self.module, self.exercise.asks_for)

    def __getitem__(self, name: str) -> Any:
        """What else the cell binds, after `load`. None where it does not."""
        return getattr(self.module, name, None)

    def changed(self, function: str) -> bool:
        """Whether a function of the cell does something else than the starter's, comments and layout aside."""
        starter = _functions(compile(course.starter_cell(self.exercise.name), FILE, "exec"))
        mine = _functions(compile(self.source, FILE, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT))
        return mine.get(function) != starter.get(function)

    @contextlib.asynccontextmanager
    async def served(self, **options: Any) -> AsyncIterator[LiveServer]:
        """Serve the answer's app for the length of the block. Start-up failures become NotYet."""
        app = await self.load()
        starting = asyncio.create_task(asyncio.to_thread(serve, app, name="answer", start_timeout=2.5, **options))
        await asyncio.wait({starting}, timeout=2)
        where = "" if starting.done() else where_it_is()
        try:
            server = await starting
        except ServeError as error:
            line = innermost(error.__cause__.__traceback__) if error.__cause__ else None
            why = ""
            if "running" in where:
                why = f" After two seconds {where}, and what holds the loop keeps the server from starting."
            elif where:
                why = f" After two seconds {where}, and a server starts only when what is awaited there has ended."
            raise Probe("to start a server with your app", "an app that starts").saw(
                place_in_words(line) or where or "no server", f"{error}{why}"
            ) from error
        server.patience = PATIENCE
        try:
            yield server
        except NotYet as refused:
            raise await or_held_for_ever(refused, server) from None
        except httpx.TimeoutException as error:
            path, where = error.request.url.path, where_it_is()
            unanswered = Probe(f"`{error.request.method} {path}`", "an answer").saw(
                f"none: {where}", f"`{path}` gives no answer: {where}. What is waited for there does not come."
            )
            raise await or_held_for_ever(unanswered, server) from None
        finally:
            self.lost += unheard()  # before the lifespan cancels a task that has died: then it counts as heard
            with contextlib.suppress(Exception):
                await asyncio.to_thread(server.stop)
            self.lost += server.lost

    async def call(self, *args: Any, timeout: float) -> Any:
        """Call the answer's function as `run` does, and return what it returns."""
        function = await self.load()
        return await self.run(lambda: function(*args), timeout=timeout)

    async def run(self, work: Callable[[], Any], *, timeout: float) -> Any:
        """Call `work` in a thread and a loop of its own; await what it returns, where that can be awaited.

        Raises TookTooLong after `timeout` seconds, or when code of the cell does not give its thread or its loop
        back for FOR_EVER; else what the work raised.
        """
        outcome: list[tuple[bool, Any]] = []
        turn = clock.now()

        async def awaited(value: Any) -> Any:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(self._note_lost)
            loops_of_calls.add(loop)

            def take_turns() -> None:
                nonlocal turn
                turn = clock.now()
                loop.call_later(TURN, take_turns)

            take_turns()
            try:
                return await value
            finally:
                loops_of_calls.discard(loop)

        def ended_or_never_ends() -> bool:
            nonlocal turn
            if not frames_of_the_cell(thread.ident) or importing(thread.ident):
                turn = clock.now()
            return not thread.is_alive() or clock.now() - turn > FOR_EVER

        def thread_main() -> None:
            try:
                value = work()
                outcome.append((True, asyncio.run(awaited(value)) if inspect.isawaitable(value) else value))
            except BaseException as error:
                outcome.append((False, error))

        thread = threading.Thread(target=thread_main, name="call", daemon=True)
        thread.start()
        await until(ended_or_never_ends, timeout)
        if not outcome:
            raise TookTooLong(where_it_is())
        good, value = outcome[0]
        if not good:
            raise value
        return value

    def _note_lost(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if "never retrieved" in context["message"] and (error := context.get("exception")):
            self.lost.append(error)
        loop.default_exception_handler(context)

    @contextlib.contextmanager
    def watched(self, server: LiveServer, *, shortest: float = 0.04) -> Iterator[list[Held]]:
        """Note where the server's loop is held by the answer's code, for `shortest` seconds or more."""
        held: list[Held] = []
        since, last = clock.now(), _held_now(server)

        def note(here: _Here | None) -> None:
            nonlocal since, last
            now = clock.now()
            if (here and here.key) != (last and last.key):
                if last and now - since >= shortest:
                    held.append(last.held(now - since))
                since = now
            last = here

        try:
            with looking(lambda: note(_held_now(server))):
                yield held
        finally:
            note(None)  # what was held until the end of the block


def _functions(module: CodeType) -> dict[str, tuple[bytes, tuple[str, ...], tuple[str, ...]]]:
    codes = [constant for constant in module.co_consts if isinstance(constant, CodeType)]
    return {code.co_name: (code.co_code, code.co_names, tuple(map(repr, _plain(code.co_consts)))) for code in codes}


def _plain(constants: tuple[object, ...]) -> list[object]:
    return [one.co_name if isinstance(one, CodeType) else one for one in constants]


@dataclass(frozen=True)
class _Here:
    """Where in the cell a server's loop is."""

    key: tuple[int, int]
    line: int
    function: str
    task: str
    calling: str

    def held(self, seconds: float) -> Held:
        source = linecache.getline(FILE, self.line).strip()
        return Held(seconds, self.line, source, self.function, self.task, self.calling)


def _held_now(server: LiveServer) -> _Here | None:
    frame = sys._current_frames().get(server.thread.ident or 0)
    calling = ""
    while frame is not None and frame.f_code.co_filename != FILE:
        if frame.f_code.co_filename != clock.__file__:  # time.sleep, by the clock that stands still
            calling = frame.f_code.co_name
        frame = frame.f_back
    if frame is None:
        return None
    task = asyncio.current_task(server.loop) if server.loop else None
    code = code_of(task) if task else None
    own_task = code.co_name if code is not None and code.co_filename == FILE else ""
    return _Here((frame.f_lineno, id(frame)), frame.f_lineno, frame.f_code.co_name, own_task, calling)


# running the cell


def load_cell(source: str, exercise: Exercise) -> ModuleType:
    """Run the learner's cell as a module. Raises NotYet, in a sentence, where it cannot be run or used."""

    refuse = Probe(
        "to run your cell by itself, as a file would be run", f"a cell that defines `{exercise.asks_for}`"
    ).saw

    linecache.cache[FILE] = (len(source), None, source.splitlines(keepends=True), FILE)
    try:
        code = compile(source, FILE, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        if source.lstrip().startswith("%") or (line and linecache.getline(FILE, line).lstrip()[:1] in "%!"):
            raise refuse(
                place_in_words(line),
                "A notebook command (% or !) is in the cell. The answer is plain Python.",
            ) from None
        raise refuse(
            place_in_words(line) or "no Python",
            f"Python cannot read the cell: {getattr(error, 'msg', error)}.",
        ) from None
    module = ModuleType(MODULE)
    module.__file__ = FILE
    sys.modules[MODULE] = module
    try:
        _execute(code, module)
    except NameError as error:
        raise refuse(
            f"NameError: {error}, {place_in_words(innermost(error.__traceback__))}",
            f"The name `{error.name}` is not known in the cell. The cell is judged by itself, "
            "without the rest of the notebook: define or import in it all that it needs.",
        ) from None
    except SystemExit:
        raise refuse("the cell ended its process", "The cell calls exit() while it is run. Leave that out.") from None
    except BaseException as error:
        raise refuse(
            f"{type(error).__name__}, {place_in_words(innermost(error.__traceback__))}".rstrip(", "),
            f"The cell stops with {type(error).__name__}: {error}".rstrip(": ") + ".",
        ) from None
    if not hasattr(module, exercise.asks_for):
        raise refuse(
            f"no `{exercise.asks_for}`",
            f"The cell runs, but defines no `{exercise.asks_for}`. Give the answer that name again.",
        )
    _require_kind(exercise.asks_for, getattr(module, exercise.asks_for), refuse)
    return module


def _execute(code: CodeType, module: ModuleType) -> None:
    result = eval(code, module.__dict__)
    if inspect.iscoroutine(result):  # the cell awaits at its top level, as notebook cells may
        asyncio.run(result)


def _require_kind(name: str, value: object, refuse: Callable[[str, str], NotYet]) -> None:
    """The name must be bound to what the exercise asks for: an app for `app`, else something to call."""
    kind = "the FastAPI app itself" if name == "app" else "a function"
    if inspect.iscoroutine(value):
        value.close()
        raise refuse(
            f"`{name}` is a coroutine",
            f"`{name}` is a coroutine: it was called, and not awaited. Bind the name to {kind} instead.",
        )
    if not callable(value) or (name == "app" and inspect.isroutine(value)):
        raise refuse(
            f"`{name}` is {quoted(value, 40)}, of type {type(value).__name__}",
            f"`{name}` must be {kind}, and it is of type {type(value).__name__}.",
        )
