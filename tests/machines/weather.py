"""What a machine can be like, made here: a column of the rig each.

Each kind is a context manager that gives a `Launch`: how the processes of a column are begun, one for each share
of the work. Processes are ended by their id.
"""

import contextlib
import os
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.machines.pythons import other_pythons

CORES = tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else (0,)
STOPPED = 0.1, 0.4  # seconds for which everything is stopped
BETWEEN = 1.5, 4.0  # seconds between two such stops
QUARTER = 1000, 4000  # microseconds of the processor in each period
SPIN = "while True: pass"

REPORTS_16_CORES = """
import os
os.cpu_count = lambda: 16
os.process_cpu_count = os.cpu_count
if hasattr(os, "sched_getaffinity"):
    os.sched_getaffinity = lambda pid: set(range(16))
"""


class NotHere(Exception):
    """This machine cannot be made like that. The message says why."""


@dataclass
class Launch:
    """How a share is begun: `python` runs it in `folder`, with `environment` on top, and `prepare` in the child."""

    folder: Path
    python: str = sys.executable
    shares: int = 1
    at_once: int = 4
    environment: dict[str, str] = field(default_factory=dict)
    prepare: Callable[[int], None] | None = None
    started: list["subprocess.Popen[str]"] = field(default_factory=list)

    def begin(self, share: int, arguments: list[str], log: Path) -> "subprocess.Popen[str]":
        """Begin `python arguments…` as that share. Its output goes to `log`."""
        environment = os.environ | {"PYTHONPATH": str(self.folder), "CI": "true"} | self.environment
        prepare = self.prepare
        with log.open("a", encoding="utf-8") as output:
            process = subprocess.Popen(
                [self.python, *arguments],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                preexec_fn=(lambda: prepare(share)) if prepare else None,
            )
        self.started.append(process)
        return process


Weather = Callable[[Path], contextlib.AbstractContextManager[Launch]]


@contextlib.contextmanager
def as_it_is(folder: Path) -> Iterator[Launch]:
    """Nothing is done."""
    yield Launch(folder)


@contextlib.contextmanager
def one_core(folder: Path) -> Iterator[Launch]:
    """Each share has one core, and two endless loops have it too."""
    if not hasattr(os, "sched_setaffinity"):
        raise NotHere("processes cannot be bound to a core here")

    def bound(share: int) -> None:
        os.sched_setaffinity(0, {CORES[share]})

    loops = [
        subprocess.Popen([sys.executable, "-c", SPIN], preexec_fn=lambda share=share: bound(share))
        for share in range(len(CORES))
        for _ in range(2)
    ]
    try:
        yield Launch(folder, shares=len(CORES), at_once=2, prepare=bound)
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


@contextlib.contextmanager
def stalling(folder: Path) -> Iterator[Launch]:
    """Everything stands still for 0.1 to 0.4 s every few seconds."""
    launch = Launch(folder)
    over = threading.Event()

    def stop_now_and_then() -> None:
        while not over.wait(random.uniform(*BETWEEN)):
            stopped = _signalled(launch.started, psutil.Process.suspend)
            over.wait(random.uniform(*STOPPED))
            for process in stopped:
                with contextlib.suppress(psutil.Error):
                    process.resume()

    thread = threading.Thread(target=stop_now_and_then, name="stops")
    thread.start()
    try:
        yield launch
    finally:
        over.set()
        thread.join()


def _signalled(started: list["subprocess.Popen[str]"], act: Callable[[psutil.Process], object]) -> list[psutil.Process]:
    reached = []
    for root in [one.pid for one in started if one.poll() is None]:
        with contextlib.suppress(psutil.Error):
            parent = psutil.Process(root)
            for process in [parent, *parent.children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    act(process)
                    reached.append(process)
    return reached


@contextlib.contextmanager
def quarter_speed(folder: Path) -> Iterator[Launch]:
    """Each share has one core, and a quarter of its time, in slices of a millisecond."""
    if not hasattr(os, "sched_setaffinity"):
        raise NotHere("processes cannot be bound to a core here")
    with contextlib.ExitStack() as stack:
        groups = [stack.enter_context(_quota(f"rig-{os.getpid()}-{share}")) for share in range(len(CORES))]

        def bound(share: int) -> None:
            os.sched_setaffinity(0, {CORES[share]})
            (groups[share] / "cgroup.procs").write_text(str(os.getpid()))

        yield Launch(folder, shares=len(CORES), at_once=1, prepare=bound)


@contextlib.contextmanager
def _quota(name: str) -> Iterator[Path]:
    """A control group of that name with a quarter of a core."""
    run, period = QUARTER
    try:
        if (Path("/sys/fs/cgroup/cpu") / "cpu.cfs_quota_us").exists():
            group = Path("/sys/fs/cgroup/cpu") / name
            group.mkdir()
            (group / "cpu.cfs_period_us").write_text(str(period))
            (group / "cpu.cfs_quota_us").write_text(str(run))
        else:
            group = Path("/sys/fs/cgroup") / name
            group.mkdir()
            (group / "cpu.max").write_text(f"{run} {period}")
    except OSError as error:
        raise NotHere(f"no control group with a quota can be made here ({error})") from None
    try:
        yield group
    finally:
        with contextlib.suppress(OSError):  # a process in it is still ending
            group.rmdir()


@contextlib.contextmanager
def four_times_as_quick(folder: Path) -> Iterator[Launch]:
    """What computes does the same in about a quarter of the time: `is_prime` divides in C."""
    work = folder / "app_snippets/cpu_work/work.py"
    slow = "all(number % divisor for divisor in range(3, int(number**0.5) + 1, 2))"
    text = work.read_text(encoding="utf-8")
    if slow not in text:
        raise NotHere(f"{work.name} does not divide as the rig thinks that it does")
    work.write_text(text.replace(slow, "all(map(number.__mod__, range(3, int(number**0.5) + 1, 2)))"), encoding="utf-8")
    yield Launch(folder)


@contextlib.contextmanager
def sixteen_cores(folder: Path) -> Iterator[Launch]:
    """Python says that the machine has 16 cores."""
    site = folder / "reports_16_cores"
    site.mkdir()
    (site / "sitecustomize.py").write_text(REPORTS_16_CORES, encoding="utf-8")
    yield Launch(folder, environment={"PYTHONPATH": f"{site}{os.pathsep}{folder}"})


def on_python(version: str, executable: str) -> Weather:
    """Another Python, with the same pins, in a virtual environment beside the project's own."""

    @contextlib.contextmanager
    def weather(folder: Path) -> Iterator[Launch]:
        root = Path(__file__).resolve().parents[2]
        made = root / f".venv-{version}"
        python = made / "bin/python"
        uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        if uv is None:
            raise NotHere("uv is not installed")
        for command in (
            [uv, "venv", "--quiet", "--allow-existing", "--python", executable, str(made)],
            [uv, "pip", "install", "--quiet", "--python", str(python), "-r", str(root / "requirements-dev.txt")],
        ):
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise NotHere(f"{' '.join(command[:3])} failed: {done.stderr.strip().splitlines()[-1]}")
        # the copy of the course is not installed there, so that pytest must be told of its plugin
        yield Launch(folder, python=str(python), environment={"PYTEST_ADDOPTS": "-p workbench.build.pytest_plugin"})

    weather.__doc__ = f"Python {version}."
    return weather


def columns() -> dict[str, Weather]:
    """The columns of the rig by name, in the order of the table."""
    return {
        "as it is": as_it_is,
        "one core": one_core,
        "stalls": stalling,
        "quarter speed": quarter_speed,
        "4 × as quick": four_times_as_quick,
        "16 cores": sixteen_cores,
        **{f"Python {version}": on_python(version, python) for version, python in other_pythons().items()},
    }
