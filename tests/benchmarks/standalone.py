"""An app in a server process of its own, on a free port, and what memory that process takes."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from workbench import course

SERVER = """
import sys, uvicorn
class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        print(self.servers[0].sockets[0].getsockname()[1], flush=True)
Server(uvicorn.Config(sys.argv[1], host="127.0.0.1", port=0, log_level="critical", access_log=False)).run()
"""


@contextlib.contextmanager
def standalone(app: str) -> Iterator[tuple[int, int]]:
    """Run uvicorn with the app, given as an import string, for the length of the block: its port and process id."""
    with subprocess.Popen([sys.executable, "-c", SERVER, app], cwd=course.ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline()), process.pid
        finally:
            process.kill()


def memory(pid: int, *, peak: bool = False) -> float:
    """MB that a process holds, or has held at the most. NaN where the platform does not say."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return float("nan")
    name = "VmHWM" if peak else "VmRSS"
    (line,) = [line for line in status.read_text().splitlines() if line.startswith(name)]
    return int(line.split()[1]) / 1e3
