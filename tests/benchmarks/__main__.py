"""`make bench`: one table, each figure beside what a user would do instead, measured in the same run."""

import asyncio
import os
import re
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import httpx
import uvicorn
from fastapi import FastAPI

from tests.benchmarks.broadcast import broadcasts
from tests.benchmarks.soak import a_soak
from tests.benchmarks.streaming import exports
from workbench import course
from workbench.judge import PASSED, exercises_of
from workbench.judge.verdicts import verdict_on, warm_up
from workbench.server import serve
from workbench.server.record import Message, Record, Scope, recorded

RUNS = 30
APP = "app_snippets.live_laboratory.three_endpoints:app"
LOAD_SECONDS = 3.0

Row = tuple[str, str, str]


def app() -> FastAPI:
    made = FastAPI()

    @made.get("/")
    async def root() -> str:
        return "here"

    return made


def times(work: Callable[[], None], runs: int = RUNS) -> list[float]:
    """Seconds of each run."""
    taken = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return taken


def ms(seconds: float) -> str:
    return f"{1000 * seconds:,.1f} ms"


def answered(port: int, path: str = "/now") -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            return connection.recv(64).startswith(b"HTTP/1.1 200")
    except ConnectionRefusedError:
        return False


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def start_standalone() -> tuple["subprocess.Popen[bytes]", int]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", APP, "--port", str(port), "--no-access-log", "--log-level", "critical"],
        cwd=course.ROOT,
    )
    while not answered(port):
        time.sleep(0.005)
    return process, port


def first_response() -> Row:
    made = app()

    def with_serve() -> None:
        with serve(made, name="bench") as server:
            assert answered(server.port, "/")
            taken.append(time.perf_counter() - begun)

    taken: list[float] = []
    for _ in range(RUNS + 1):
        begun = time.perf_counter()
        with_serve()

    def standalone() -> None:
        process, _ = start_standalone()
        started.append(time.perf_counter() - begun)
        process.terminate()
        process.wait()

    started: list[float] = []
    for _ in range(5):
        begun = time.perf_counter()
        standalone()
    ours, theirs = statistics.median(taken[1:]), statistics.median(started)
    return "serve to first response", ms(ours), f"{ms(theirs)} with python -m uvicorn ({theirs / ours:,.0f} ×)"


def serving_again() -> Row:
    made = app()
    serve(made, name="bench")
    ours = statistics.median(times(lambda: void(serve(made, name="bench"))))

    def plain_recipe() -> None:
        nonlocal server, thread
        if thread is not None:
            server.should_exit = True
            thread.join()
        server = uvicorn.Server(uvicorn.Config(made, host="127.0.0.1", port=0, log_level="critical"))
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            time.sleep(0.001)

    thread: threading.Thread | None = None
    server = uvicorn.Server(uvicorn.Config(made))
    plain_recipe()
    theirs = statistics.median(times(plain_recipe, 10))
    server.should_exit = True
    return "serving again", ms(ours), f"{ms(theirs)} with the plain thread recipe"


def void(_: object) -> None:
    """Nothing of it."""


LOAD = """
import asyncio, sys, time
async def client(port, until):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    count = 0
    while time.perf_counter() < until:
        writer.write(b"GET /now HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
        head = await reader.readuntil(b"\\r\\n\\r\\n")
        await reader.readexactly(5)
        assert head.startswith(b"HTTP/1.1 200"), head
        count += 1
    writer.close()
    return count
async def main(port, clients, seconds):
    start = time.perf_counter()
    counts = await asyncio.gather(*(client(port, start + seconds) for _ in range(clients)))
    print(sum(counts) / (time.perf_counter() - start))
asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
"""


def load_from_outside(port: int, clients: int) -> float:
    """Requests per second that another process gets through."""
    command = [sys.executable, "-c", LOAD, str(port), str(clients), str(LOAD_SECONDS)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def throughput() -> list[Row]:
    process, port = start_standalone()
    inside, outside, one = [], [], []
    with serve(APP, name="bench") as server:
        for _ in range(5):  # turn about, so that the machine's moods hit both
            inside.append(load_from_outside(server.port, 8))
            outside.append(load_from_outside(port, 8))
            one.append(load_from_outside(server.port, 1))
    process.terminate()
    process.wait()
    ours, theirs = statistics.median(inside), statistics.median(outside)
    return [
        ("requests per second, 8 connections", f"{ours:,.0f}", f"{theirs:,.0f} standalone (ratio {ours / theirs:.2f})"),
        (
            "requests per second, one after another",
            f"{statistics.median(one):,.0f}",
            "about 22 with Nagle's 40 ms trap",
        ),
    ]


def cost_of_the_record() -> Row:
    async def plain(scope: Scope, receive: object, send: object) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]
        await send({"type": "http.response.body", "body": b""})  # type: ignore[operator]

    async def send(message: Message) -> None: ...

    async def receive() -> Message:
        return {}

    async def many(served: object) -> None:
        for _ in range(5_000):
            scope: Scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", b"x")] * 6}
            await served(scope, receive, send)  # type: ignore[operator]

    bare = min(times(lambda: asyncio.run(many(plain)), 7)) / 5_000
    noted = min(times(lambda: asyncio.run(many(recorded(plain, Record()))), 7)) / 5_000
    return "the record, per request", f"{1e6 * (noted - bare):.1f} µs", "nothing is seen without it"


def verdicts() -> list[Row]:
    async def judge_all() -> list[Row]:
        warm_up()
        rows = []
        for lesson in course.lessons():
            for exercise in exercises_of(lesson.slug):
                source = course.answer_cell(exercise.name)
                await verdict_on(exercise, source)
                taken, refused = [], list[str]()
                for _ in range(RUNS):
                    start = time.perf_counter()
                    verdict = await verdict_on(exercise, source)
                    taken.append(time.perf_counter() - start)
                    if verdict.state != PASSED:
                        refused.append(f"{verdict.seen}. {verdict.diagnosis}")
                late = statistics.quantiles(taken, n=20)[-1]
                rows.append(
                    (f"verdict on {exercise.label}", ms(statistics.median(taken)), f"95th percentile {ms(late)}")
                )
                if refused:
                    rows.append(("  a right answer refused", f"{len(refused)} of {RUNS}", refused[0]))
        return rows

    return asyncio.run(judge_all())


def notebooks() -> list[Row]:
    options = ["--nbval", "notebooks", "-n", "2", "--dist", "loadfile", "-q", "--durations=0", "--durations-min=0"]
    command = [sys.executable, "-m", "pytest", *options]
    start = time.perf_counter()
    said = subprocess.run(command, cwd=course.ROOT, capture_output=True, text=True, check=True).stdout
    wall = time.perf_counter() - start
    cells = int(re.search(r"(\d+) passed", said)[1])  # type: ignore[index]
    seconds = {
        lesson: sum(map(float, re.findall(rf"([\d.]+)s \w+ +notebooks/{lesson.notebook.name}", said)))
        for lesson in course.lessons()
    }
    average = max(sum(seconds.values()) / 2, *seconds.values()) / len(seconds)  # two workers share them
    return [
        ("a notebook under nbval, two workers", f"{average:.1f} s", f"{wall / len(seconds):.1f} s with pytest's start"),
        ("a compared cell under nbval", ms(sum(seconds.values()) / cells), f"{cells} cells"),
        *((f"  {lesson.notebook.name}", f"{one:.1f} s", "kernel start included") for lesson, one in seconds.items()),
    ]


def importing() -> Row:
    script = (
        "import time, fastapi, httpx, uvicorn; start = time.perf_counter(); "
        "import workbench; print(time.perf_counter() - start)"
    )
    taken = [
        float(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout)
        for _ in range(5)
    ]
    return "import workbench", ms(statistics.median(taken)), "beyond FastAPI, uvicorn and httpx"


def client_at_hand() -> Row:
    shared = statistics.median(times(lambda: void(httpx.AsyncClient(verify=False, trust_env=False))))
    plain = statistics.median(times(lambda: void(httpx.AsyncClient()), 10))
    return "server.client()", ms(shared), f"{ms(plain)} for httpx.AsyncClient()"


def main() -> None:
    print(
        f"Python {sys.version.split()[0]}, {os.cpu_count()} cores; medians of {RUNS} unless said otherwise\n",
        flush=True,
    )
    for part in (
        first_response,
        serving_again,
        client_at_hand,
        throughput,
        cost_of_the_record,
        exports,
        broadcasts,
        a_soak,
        importing,
        verdicts,
        notebooks,
    ):
        rows = part()
        for what, figure, beside in rows if isinstance(rows, list) else [rows]:
            print(f"{what:<52} {figure:>12}   {beside}", flush=True)


if __name__ == "__main__":
    main()
