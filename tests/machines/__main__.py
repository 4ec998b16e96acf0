"""`make machines`: all known answers and all notebooks on machines of every kind, and what differs on each.

    python -m tests.machines                                     every column
    python -m tests.machines --columns "one core" stalls         these only
    python -m tests.machines cpu_work lifespan/one_client        these lessons and exercises only
    python -m tests.machines --only notebooks                    no answers

Every column works on a copy of the tree as it is now. What differed is written into test-artifacts/machines/.
"""

import argparse
import contextlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from tests.machines.weather import Launch, NotHere, Weather, columns
from workbench import course

MINUTES = 20  # that a column may take for the answers, and again for the notebooks
LOGS = course.ROOT / "test-artifacts" / "machines"


@dataclass
class Outcome:
    """What came of one column."""

    judged: int = 0
    cells: int = 0
    answers: dict[str, str] = field(default_factory=dict)  # what differed, by label, in words
    claims: dict[str, str] = field(default_factory=dict)
    unfinished: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def differs(self) -> int:
        return len(self.answers) + len(self.claims) + len(self.unfinished)


def copied(folder: Path) -> Path:
    """A copy of the tree as it is now, without what git does not know or ignores."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=course.ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in listed.stdout.splitlines():
        if (source := course.ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, folder / name)
    return folder


def run(name: str, weather: Weather, options: argparse.Namespace) -> Outcome:
    """Run a column. Raises NotHere where this machine cannot be made like that."""
    outcome = Outcome()
    slug = re.sub(r"\W+", "_", name)
    log = LOGS / f"{slug}.log"
    log.unlink(missing_ok=True)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="machines-") as temporary:
        folder = copied(Path(temporary) / "course")
        with weather(folder) as launch:
            if options.only != "notebooks":
                _judge(launch, outcome, options, log)
            if options.only != "answers":
                _run_notebooks(launch, outcome, options, log)
    outcome.seconds = time.monotonic() - begun
    (LOGS / f"{slug}.json").write_text(
        json.dumps({"answers": outcome.answers, "claims": outcome.claims, "unfinished": outcome.unfinished}, indent=1),
        encoding="utf-8",
    )
    return outcome


def _judge(launch: Launch, outcome: Outcome, options: argparse.Namespace, log: Path) -> None:
    files = [launch.folder.parent / f"answers-{share}.json" for share in range(launch.shares)]
    shares = [
        launch.begin(
            share,
            [
                *("-m", "tests.machines.answers", "--at-once", str(launch.at_once)),
                *("--share", f"{share}/{launch.shares}", "--seconds", str(60 * options.minutes)),
                *("--into", str(file), *options.chosen),
            ],
            log,
        )
        for share, file in enumerate(files)
    ]
    _wait(shares, options.minutes, outcome, "answers")
    for file in files:
        if file.is_file():
            found = json.loads(file.read_text(encoding="utf-8"))
            outcome.judged += found["judged"]
            outcome.answers |= found["differing"]
        else:
            outcome.unfinished.append("a share of the answers left no result")


def _run_notebooks(launch: Launch, outcome: Outcome, options: argparse.Namespace, log: Path) -> None:
    slugs = {one.partition("/")[0] for one in options.chosen}
    chosen = [one for one in course.lessons() if not slugs or one.slug in slugs]
    files = [launch.folder.parent / f"notebooks-{share}.xml" for share in range(launch.shares)]
    shares = []
    for share, file in enumerate(files):
        names = [f"notebooks/{one.notebook.name}" for one in chosen[share :: launch.shares]]
        if names:
            workers = ["-n", str(launch.at_once), "--dist", "loadfile"] if launch.at_once > 1 else []
            command = ["-m", "pytest", "--nbval", "-q", "-p", "no:cacheprovider", f"--junitxml={file}", *workers]
            shares.append(launch.begin(share, [*command, *names], log))
    _wait(shares, options.minutes, outcome, "notebooks")
    for file in files[: len(shares)]:
        if not file.is_file():
            outcome.unfinished.append("a share of the notebooks left no result")
            continue
        for case in ElementTree.parse(file).iter("testcase"):
            outcome.cells += 1
            for failure in [*case.findall("failure"), *case.findall("error")]:
                outcome.claims[f"{case.get('classname')}::{case.get('name')}"] = failure.text or ""


def _wait(shares: list["subprocess.Popen[str]"], minutes: float, outcome: Outcome, what: str) -> None:
    """Wait for all shares; end what is late. A share that fails has said so in its result."""
    deadline = time.monotonic() + 60 * minutes + 60
    for process in shares:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            outcome.unfinished.append(f"{what}: not done after {minutes:g} minutes")
            process.kill()
            process.wait()


def main() -> int:
    """The command line. Returns the exit status: 1 where anything differs."""
    known = columns()
    parser = argparse.ArgumentParser(
        prog="python -m tests.machines", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("chosen", nargs="*", metavar="lesson[/exercise]", help="what to run (default: all)")
    parser.add_argument("--columns", nargs="+", metavar="NAME", default=list(known), help=", ".join(known))
    parser.add_argument("--only", choices=["answers", "notebooks"], help="one half of it")
    parser.add_argument("--minutes", type=float, default=MINUTES, help=f"for each half of a column ({MINUTES})")
    options = parser.parse_args()
    if unknown := [name for name in options.columns if name not in known]:
        parser.error(f"no column is called {', '.join(unknown)}. There are: {', '.join(known)}")
    LOGS.mkdir(parents=True, exist_ok=True)
    print(f"{'column':<16}{'answers':>9}{'differ':>8}{'cells':>8}{'failed':>8}{'minutes':>9}", flush=True)
    differing = 0
    for name in options.columns:
        try:
            outcome = run(name, known[name], options)
        except NotHere as error:
            print(f"{name:<16} not run: {error}", flush=True)
            continue
        differing += outcome.differs
        print(
            f"{name:<16}{outcome.judged:>9}{len(outcome.answers):>8}{outcome.cells:>8}{len(outcome.claims):>8}"
            f"{outcome.seconds / 60:>9.1f}",
            flush=True,
        )
        for label in [*outcome.answers, *outcome.claims, *outcome.unfinished]:
            print(f"    {label}", flush=True)
    print(f"What differed stands in {LOGS.relative_to(course.ROOT)}/." if differing else "Nothing differs.")
    return 1 if differing else 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
