"""Whatever is typed into an exercise: one sentence in time, nothing left running, and the next attempt is clean."""

import asyncio
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from workbench import course
from workbench.clock import until
from workbench.judge import NOT_YET, PASSED, Verdict, find_exercise
from workbench.judge.verdicts import verdict_on, warm_up
from workbench.notebook.cards import in_words

FUNCTION, APP = "live_laboratory/burst", "blocking_and_waiting/dependency"
BURST = "async def burst(url: str, n: int) -> list[float]:\n    "

# name: (exercise, the cell, what the diagnosis must say)
HOSTILE: dict[str, tuple[str, str, str]] = {
    "endless loop at import": (FUNCTION, "while True:\n    pass", "running line 2, `while|running line 3, `pass`"),
    "endless loop in the function": (FUNCTION, BURST + "while True: pass", "did not come back in time"),
    "endless loop in a handler": (
        APP,
        "from fastapi import FastAPI\napp = FastAPI()\n@app.get('/ping')\nasync def ping():\n    while True: pass",
        "never gives it back: it is at line 6, `while True: pass`",
    ),
    "endless loop in a dunder": (
        FUNCTION,
        "class A:\n    def __call__(*a):\n        while 1: pass\nburst = A()",
        "in time",
    ),
    "deadlock on a thread's lock": (
        FUNCTION,
        "import threading\nlock = threading.Lock()\n" + BURST + "lock.acquire()\n    lock.acquire()",
        "`lock.acquire()`",
    ),
    "deadlock on an asyncio lock": (
        FUNCTION,
        "import asyncio\n" + BURST + "lock = asyncio.Lock()\n    await lock.acquire()\n    await lock.acquire()",
        "did not come back in time",
    ),
    "time.sleep(600)": (FUNCTION, "import time\n" + BURST + "time.sleep(600)", "`time.sleep(600)`"),
    "time.sleep(600) at import": (FUNCTION, "import time\ntime.sleep(600)", "`time.sleep(600)`"),
    "asyncio.sleep(600)": (FUNCTION, "import asyncio\n" + BURST + "await asyncio.sleep(600)", "in time"),
    "sys.exit() at import": (FUNCTION, "import sys\nsys.exit()", "calls exit()"),
    "sys.exit() in the function": (FUNCTION, "import sys\n" + BURST + "sys.exit(1)", "exit(), at line 4, `sys.exit"),
    "SystemExit in the function": (FUNCTION, BURST + "raise SystemExit(2)", "SystemExit: 2. That ends the whole pro"),
    "sys.exit() in a handler": (
        APP,
        "import sys\nfrom fastapi import FastAPI\napp = FastAPI()\n"
        "@app.get('/ping')\nasync def ping(): pass\n@app.get('/orders')\nasync def orders(): sys.exit(1)",
        "Your code calls exit(), at line 8",
    ),
    "os._exit at import": (FUNCTION, "import os\nos._exit(0)", "ended the Python process"),
    "os._exit in the function": (FUNCTION, "import os\n" + BURST + "os._exit(3)", "ended the Python process"),
    "kills itself": (FUNCTION, "import os\nos.kill(os.getpid(), 9)", "ended the Python process"),
    "a crash in C": (FUNCTION, "import ctypes\nctypes.string_at(0)", "ended the Python process"),
    "endless recursion": (FUNCTION, BURST + "return await burst(url, n)", "RecursionError"),
    "much memory": (FUNCTION, BURST + "return bytearray(64 << 30)", "MemoryError"),
    "one call that never returns": (FUNCTION, "10 ** 10 ** 9", "for ever inside one call, at line 2, `10 ** 10"),
    "a wait that never ends, in a handler": (
        APP,
        "import asyncio\nfrom fastapi import FastAPI\napp = FastAPI()\n@app.get('/ping')\nasync def ping(): pass\n"
        "async def wait(): await asyncio.Event().wait()\n@app.get('/orders')\nasync def orders(): await wait()",
        "still waiting at line 7, `async def wait(): await asyncio.Event().wait()`",
    ),
    "a wait that never ends, in a generator": (
        FUNCTION,
        "import asyncio\nasync def times():\n    yield 1\n    await asyncio.Event().wait()\n"
        + BURST + "return [one async for one in times()]",
        "still waiting at line 5, `await asyncio.Event().wait()`",
    ),
    "a process that never ends": (
        FUNCTION,
        "import asyncio, concurrent.futures, time\n" + BURST
        + "with concurrent.futures.ProcessPoolExecutor(1) as pool:\n"
        "        return await asyncio.get_running_loop().run_in_executor(pool, time.sleep, 600)",
        "`return await asyncio.get_running_loop()",
    ),
    "a stream that never ends": (
        "streaming/json_lines",
        course.answer_cell("streaming/json_lines").partition("\n")[2].replace(
            "        yield Reading(**row)", "        while True:\n            yield Reading(**row)"
        ),
        "`/readings` never ends: it is still running line 3|never ends: what it yields comes from line 36",
    ),
    "an endless loop in a callback": (
        APP,
        course.answer_cell(APP).partition("\n")[2].replace(
            "    return account", "    asyncio.get_running_loop().call_soon(spin)\n    return account"
        ) + "\n\ndef spin():\n    while True: pass",
        "never gives it back: it is at line 43, `while True: pass`",
    ),
    "the same path twice in a router": (
        APP,
        "from fastapi import APIRouter, FastAPI\napp = FastAPI()\nrouter = APIRouter()\n"
        "@app.get('/ping')\ndef ping(): pass\n@router.get('/orders')\ndef old(): return 1\n"
        "@router.get('/orders')\ndef new(): return {}\n"
        "app.include_router(router)",
        "`GET /orders` is declared twice: for `old` at line 7, and for `new` at line 9",
    ),
    "the same path twice": (
        APP,
        "from fastapi import FastAPI\napp = FastAPI()\n@app.get('/ping')\ndef ping(): pass\n"
        "@app.get('/orders')\ndef old(): return 1\n@app.get('/orders')\ndef new(): return {}",
        "`GET /orders` is declared twice: for `old` at line 6, and for `new` at line 8",
    ),
    "what was given is changed": (
        APP,
        course.starter_cell(APP).partition("\n")[2].replace("time.sleep(0.2)", "time.sleep(0.3)"),
        "Besides, not as given any more: `look_up`.",
    ),
    "a task that dies": (
        "blocking_and_waiting/lag",
        course.answer_cell("blocking_and_waiting/lag").partition("\n")[2].replace("longest = max", "longest = n + max"),
        "`watch` has ended with NameError: name 'n' is not defined, line 24",
    ),
    "an error at import": (FUNCTION, "import nothing_of_this_name", "No module named 'nothing_of_this_name'"),
    "an exception at import": (FUNCTION, "1 / 0", "ZeroDivisionError"),
    "a syntax error": (FUNCTION, "def burst(:", "Python cannot read the cell"),
    "an empty cell": (FUNCTION, "# nothing", "defines no `burst`"),
    "a null byte": (FUNCTION, "burst = '\0'", "Python cannot read the cell"),
    "a missing name": (FUNCTION, BURST + "return [clock() for _ in range(n)]", "name 'clock' is not defined"),
    "a missing name at import": (FUNCTION, "burst = make_burst()", "`make_burst` is not known in the cell"),
    "another name": (FUNCTION, "async def burts(url, n): return []", "defines no `burst`"),
    "a coroutine instead of a function": (FUNCTION, "async def f(): ...\nburst = f()", "is a coroutine"),
    "a number instead of a function": (FUNCTION, "burst = 42", "is of type int"),
    "a number instead of an app": (APP, "app = 42", "is of type int"),
    "the class instead of an app": (APP, "from fastapi import FastAPI\napp = FastAPI", "not an ASGI app"),
    "a function instead of an app": (APP, "async def app(): ...", "must be the FastAPI app itself"),
    "a string instead of an app": (APP, "app = 'os:nope'", "is of type str"),
    "wrong parameters": (FUNCTION, "async def burst(): ...", "TypeError"),
    "a wrong type is returned": (FUNCTION, BURST + "return 'fast'", "What burst returns is not the latencies"),
    "a coroutine is returned": (FUNCTION, "async def g(): ...\n" + BURST + "return [g()] * n", "must still await"),
    "a notebook command": (FUNCTION, "%timeit 1\nburst = 1", "A notebook command"),
    "a shell command": (FUNCTION, "x = 1\n!ls\nburst = 1", "A notebook command"),
    "asks the keyboard": (FUNCTION, BURST + "return input()", "asks the keyboard, at line 3, `return input()`"),
    "a message without end": (FUNCTION, BURST + "raise ValueError('y' * 1_000_000)", "y …"),
    "a lifespan that raises": (
        APP,
        "from fastapi import FastAPI\ndef lifespan(app): raise OSError('no disk')\napp = FastAPI(lifespan=lifespan)",
        "no disk|did not start",
    ),
    "a lifespan that never yields": (
        APP,
        "import asyncio\nfrom contextlib import asynccontextmanager\nfrom fastapi import FastAPI\n"
        "@asynccontextmanager\nasync def lifespan(app):\n    await asyncio.sleep(600)\n    yield\n"
        "app = FastAPI(lifespan=lifespan)",
        "has not reached `yield`. After two seconds it is still waiting at line 7, `await asyncio.sleep(600)`",
    ),
    "a flood of tasks": (
        FUNCTION,
        "import asyncio\n" + BURST
        + "while True:\n        asyncio.create_task(asyncio.sleep(9))\n        await asyncio.sleep(0)",
        "did not come back|for ever inside one call|if it uses much memory, use less",
    ),
    "processes of its own": (
        FUNCTION,
        "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(601.5)'])\n"
        + BURST + "while True: pass",
        "did not come back in time",
    ),
    "a clock of its own": (
        FUNCTION,
        "import time\nreal = time.perf_counter\ntime.perf_counter = lambda: real() / 10\n" + BURST + "return [0.2] * n",
        "replaces `time.perf_counter`",
    ),
    "a sleep of its own": (
        FUNCTION,
        "import asyncio\n" + BURST + "asyncio.sleep = print",
        "replaces `asyncio.sleep`",
    ),
    "swallows everything": (
        FUNCTION,
        "import time\n" + BURST
        + "while True:\n        try:\n            time.sleep(1)\n        except BaseException: pass",
        "`time.sleep(1)`",
    ),
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _warm() -> None:
    warm_up()


def judged(exercise: str, cell: str) -> tuple[Verdict, float]:
    start = time.perf_counter()
    verdict = asyncio.run(verdict_on(find_exercise(exercise), f"{course.MARKER}{exercise}\n{cell}"))
    return verdict, time.perf_counter() - start


@pytest.mark.parametrize("name", HOSTILE)
def test_one_sentence_in_time(name: str) -> None:
    exercise, cell, sentence = HOSTILE[name]
    verdict, seconds = judged(exercise, cell)
    said = in_words(find_exercise(exercise), verdict)
    assert verdict.state == NOT_YET, said
    assert any(part in verdict.diagnosis for part in sentence.split("|")), said
    assert seconds < 3 * find_exercise(exercise).deadline + 30, said  # by the judge's clock it is the deadline at most


ENDLESS = [
    name
    for name in HOSTILE
    if name.startswith(("endless loop", "deadlock on a thread", "time.sleep", "a wait that never ends, in a handler"))
]


@pytest.mark.parametrize("name", ENDLESS)
def test_what_never_ends_is_told_before_the_deadline(name: str) -> None:
    exercise, cell, _ = HOSTILE[name]
    verdict, _ = judged(exercise, cell)
    assert "line " in verdict.diagnosis
    assert verdict.tried != "to come to a verdict"


def test_nothing_is_left_running() -> None:
    judged(*HOSTILE["processes of its own"][:2])
    left = [
        process.info["cmdline"]
        for process in psutil.process_iter(["cmdline"])
        if sys.executable in (command := " ".join(process.info["cmdline"] or [])) and "time.sleep(601.5)" in command
    ]
    assert left == []


KILLED = f"""
import asyncio, os, signal
from workbench import course
from workbench.judge.verdicts import verdict_on, warm_up
from workbench.judge import find_exercise
warm_up()
cells = [course.answer_cell({FUNCTION!r}), "import os, tempfile; tempfile.mkdtemp(); os._exit(3)"]
print(*[asyncio.run(verdict_on(find_exercise({FUNCTION!r}), cell)).state for cell in cells], sep=", ", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif("forkserver" not in multiprocessing.get_all_start_methods(), reason="there is no fork server here")
def test_no_temporary_file_is_left_where_the_notebook_is_ended_hard(tmp_path: Path) -> None:
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", KILLED], env=environment, capture_output=True, text=True)
    assert done.stdout == "passed, not yet\n", done.stderr
    assert asyncio.run(until(lambda: not list(tmp_path.iterdir()), 10)), list(tmp_path.iterdir())


def test_the_next_attempt_starts_clean() -> None:
    judged(*HOSTILE["os._exit in the function"][:2])
    verdict, _ = judged(FUNCTION, course.answer_cell(FUNCTION))
    assert verdict.state == PASSED


def test_what_the_answer_prints_is_shown_with_the_verdict() -> None:
    verdict, _ = judged(FUNCTION, BURST + "print('at', n)\n    return 'fast'")
    assert verdict.printed == "at 24"
    assert "printed   at 24" in in_words(find_exercise(FUNCTION), verdict)


def test_a_long_line_that_the_answer_prints_is_cut() -> None:
    verdict, _ = judged(FUNCTION, BURST + "print('x' * 1_000_000)\n    return 'fast'")
    assert verdict.printed == "x" * 200 + " …"
