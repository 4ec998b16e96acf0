"""What only shows in a real kernel: finish, checks from cells, interrupts, and what an import costs."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import nbval.kernel
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from workbench import course
from workbench.build.kernels import config, kernel_manager

IMPORTS = "import asyncio, socket, threading, time\nfrom workbench import *"


def run_cells(*cells: str) -> list[str]:
    """Run the cells in a new kernel; the plain text of each one's outputs."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=60, kernel_name="python3", config=config()).execute()
    return ["".join(map(_text, cell.outputs)) for cell in notebook.cells]


def _text(output: Any) -> str:
    return str(output.get("text") or output.get("data", {}).get("text/plain", ""))


def failure_of(*cells: str) -> str:
    with pytest.raises(CellExecutionError) as caught:
        run_cells(*cells)
    return str(caught.value)


def test_finish_stops_servers_and_is_content_when_nothing_is_left() -> None:
    said = run_cells(
        IMPORTS, "from fastapi import FastAPI\nserver = serve(FastAPI())", "await finish()", "print(server.alive)"
    )
    assert said[2:] == ["✔ nothing is left running\n", "False\n"]


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        ("threading.Thread(target=time.sleep, args=(30,), name='mine', daemon=True).start()", "the thread 'mine'"),
        ("task = asyncio.create_task(asyncio.sleep(30), name='mine')", "the task 'mine'"),
        ("left = socket.create_server(('127.0.0.1', 0))", "a socket is open"),
        (
            "async def fail():\n    raise ValueError('unseen')\ntask = asyncio.create_task(fail())\n"
            "await asyncio.sleep(0.01)\ndel task",
            "ValueError: unseen",
        ),
        ("async def work(): ...\n_ = work()\ndel _", "coroutine 'work' was never awaited"),
    ],
    ids=["thread", "task", "socket", "lost exception", "never awaited"],
)
def test_finish_fails_on_what_is_left(cell: str, sentence: str) -> None:
    said = failure_of(IMPORTS, cell, "await finish()")
    assert "Left behind at the end of the lesson" in said
    assert sentence in said


NAME = "live_laboratory/burst"
STARTER, ANSWER = course.starter_cell(NAME), course.answer_cell(NAME)
CHECK = f'await check("{NAME}")'


def test_an_exercise_in_its_three_states() -> None:
    before, _, untouched, _, passed = run_cells(f"{IMPORTS}\n{CHECK}", STARTER, CHECK, ANSWER, CHECK)
    assert before.startswith("○ 0.2 Measure a burst: not attempted. Run the cell above first")
    assert untouched.startswith("○ 0.2 Measure a burst: not attempted. Change the cell above")
    assert passed.startswith("✔ 0.2 Measure a burst: passed. 24 calls at once")
    wrong = failure_of(IMPORTS, ANSWER.replace("return await", "await"), CHECK)
    assert "the card above says why" in wrong


def test_a_cell_that_does_not_even_run_is_judged_all_the_same(kernel: Any) -> None:
    broken = f"{course.MARKER}{NAME}\nasync def burst(:"
    _, client = kernel
    client.execute_interactive(broken, timeout=30, stop_on_error=False, output_hook=lambda message: None)
    outputs: list[Any] = []
    client.execute_interactive(CHECK, timeout=30, output_hook=outputs.append)
    error = next(one["content"] for one in outputs if one["msg_type"] == "error")
    assert error["ename"] == "NotYet"
    assert "Python cannot read the cell" in error["evalue"]


def test_progress_survives_a_restart(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_PROGRESS", str(tmp_path / "progress.json"))
    run_cells(IMPORTS, ANSWER, CHECK)
    (said,) = run_cells(f"{IMPORTS}\nprogress()")
    assert "✔ 0.2 Measure a burst: passed" in said
    assert "○ 0.1" in said


def test_hints_come_one_after_another_and_the_solution_on_demand() -> None:
    _, first, second, solution = run_cells(IMPORTS, f'hint("{NAME}")', f'hint("{NAME}")', f'solution("{NAME}")')
    assert first.startswith("Hint 1 of 3 for 0.2 Measure a burst:")
    assert second.startswith("Hint 2 of 3")
    assert "asyncio.gather" in solution


def test_a_wrong_name_is_answered_with_the_right_ones() -> None:
    assert "There is no exercise 'live_laboratory/nope'. There are: live_laboratory/wait_started" in failure_of(
        IMPORTS, 'await check("live_laboratory/nope")'
    )
    assert "There is no lesson 'nope'" in failure_of(IMPORTS, 'hint("nope")')


@pytest.fixture
def kernel() -> Iterator[Any]:
    manager = kernel_manager(kernel_name="python3")
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        client.execute_interactive(IMPORTS, timeout=30)
        yield manager, client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@pytest.mark.skipif(sys.platform == "win32", reason="kernels have ports there")
def test_a_kernel_of_a_build_or_a_test_has_no_port_that_another_could_take(kernel: Any) -> None:
    ours, other = kernel[0], kernel_manager(kernel_name="python3")
    assert nbval.kernel.KernelManager is kernel_manager  # what pytest --nbval starts its kernels with
    assert (ours.transport, config().ConnectionFileMixin.transport) == ("ipc", "ipc")
    assert len({ours.ip, other.ip, config().ConnectionFileMixin.ip}) == 3
    assert Path(f"{ours.ip}-{ours.shell_port}").is_socket()


@pytest.mark.skipif(sys.platform == "win32", reason="interrupts there are events, not signals")
def test_interrupt_stops_a_cell_that_awaits(kernel: Any) -> None:
    manager, client = kernel
    # or the kernel, after the error, drops what it finds in its queue: at times the next cell already
    asked = client.execute("print('here'); await asyncio.sleep(120)", stop_on_error=False)
    while _kind(client.get_iopub_msg(timeout=30)) != ("stream", asked):
        pass
    manager.interrupt_kernel()
    reply = client.get_shell_msg(timeout=60)
    assert reply["content"]["status"] == "error"
    assert reply["content"]["ename"] in ("CancelledError", "KeyboardInterrupt")
    assert client.execute_interactive("1 + 1", timeout=10)["content"]["status"] == "ok"


def _kind(message: dict[str, Any]) -> tuple[str, str]:
    return message["msg_type"], message["parent_header"].get("msg_id", "")


def test_importing_the_bench_imports_no_plotting() -> None:
    script = "import sys, workbench; print(sorted({'matplotlib', 'numpy', 'IPython', 'jupytext'} & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
