"""What the learner has passed, in a small file that survives a restart."""

import json
import os
import sys
import time
from pathlib import Path

from workbench import course
from workbench.judge import PASSED, Exercise, Verdict


def _progress_file() -> Path:
    return Path(os.environ.get("WORKBENCH_PROGRESS", course.ROOT / ".progress.json"))


def kept() -> dict[str, dict[str, str]]:
    try:
        kept = json.loads(_progress_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {name: entry for name, entry in kept.items() if isinstance(entry, dict)} if isinstance(kept, dict) else {}


def keep(exercise: Exercise, verdict: Verdict) -> None:
    """Write the state down. What was passed once stays passed."""
    states = kept()
    before = states.get(exercise.name, {}).get("state")
    state = PASSED if PASSED in (before, verdict.state) else verdict.state
    states[exercise.name] = {"state": state, "when": time.strftime("%Y-%m-%d %H:%M")}
    path = _progress_file()
    new = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        new.write_text(json.dumps(states, indent=1), encoding="utf-8")
        new.replace(path)
    except OSError as error:
        print(f"Your progress could not be kept in {path}: {error}", file=sys.stderr)
