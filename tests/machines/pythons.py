"""The Pythons that the machine has.

python -m tests.machines.pythons     the newest one that is newer than this one, as a path; nothing where none is
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

OLDEST, LATEST = 11, 14  # minor versions of Python 3 that the course supports


def other_pythons() -> dict[str, str]:
    """The Pythons that the course supports, this one aside, by version: on the PATH, and those of pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = {}
    for minor in range(OLDEST, LATEST + 1):
        version = f"3.{minor}"
        for candidate in [*sorted(pyenv.glob(f"{version}.*/bin/python{version}")), shutil.which(f"python{version}")]:
            if candidate is None or minor == sys.version_info.minor:
                continue
            # a shim of pyenv's is no Python, and one without these modules is not enough
            done = subprocess.run([str(candidate), "-c", "import ensurepip, sqlite3, ssl"], capture_output=True)
            if done.returncode == 0:
                found[version] = str(candidate)
                break
    return found


if __name__ == "__main__":
    newer = [path for version, path in other_pythons().items() if int(version[2:]) > sys.version_info.minor]
    print(newer[-1] if newer else "")
