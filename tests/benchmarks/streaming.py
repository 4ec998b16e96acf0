"""Exports of the streaming lesson's own apps, each in a server process: first byte and peak memory."""

import http.client
import subprocess
import sys
import time
from pathlib import Path

from workbench import course

SIZES = {"row_by_row": (1_000, 100_000, 1_000_000), "wrong_list": (1_000, 100_000)}
ROOM = 20.0  # MB by which the streams' peaks may differ
FIRST = 0.05  # seconds to the first byte of a stream

SERVER = """
import socket, sys, threading, uvicorn
server = uvicorn.Server(uvicorn.Config(sys.argv[1], host="127.0.0.1", port=0, log_level="critical"))
def say():
    while not server.started:
        pass
    print(server.servers[0].sockets[0].getsockname()[1], flush=True)
threading.Thread(target=say, daemon=True).start()
server.run()
"""

Row = tuple[str, str, str]


def peak_memory(pid: int) -> float:
    """The most memory that a process has held so far, in MB. NaN where the platform does not say."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return float("nan")
    (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1e3


def one_export(app: str, rows: int) -> tuple[float, float, float]:
    """Seconds to the first byte and to the last, and the server's peak memory in MB, of one export."""
    command = [sys.executable, "-c", SERVER, f"app_snippets.streaming.{app}:app"]
    with subprocess.Popen(command, cwd=course.ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        try:
            firsts = []
            for _ in range(
                4
            ):  # the first request of a server is slower; of the others, the last one is read to its end
                connection = http.client.HTTPConnection("127.0.0.1", port)
                start = time.perf_counter()
                connection.request("GET", f"/parts.csv?rows={rows}")
                response = connection.getresponse()
                assert response.read(1)
                firsts.append(time.perf_counter() - start)
                if len(firsts) == 4:
                    while response.read(1 << 20):
                        pass
                last = time.perf_counter() - start
                connection.close()
            return min(firsts[1:]), last, peak_memory(process.pid)
        finally:
            process.terminate()


def exports() -> list[Row]:
    """A line for each app and size. Asserts what the lesson promises of the stream."""
    table = []
    streams = []
    for app, sizes in SIZES.items():
        for rows in sizes:
            first, last, peak = one_export(app, rows)
            if app == "row_by_row":
                assert first < FIRST, f"the first byte of {rows:,} rows came after {first:.3f} s"
                streams.append(peak)
            kind = "streamed" if app == "row_by_row" else "as a whole"
            beside = f"peak {peak:,.0f} MB, last byte {last:,.2f} s"
            table.append((f"first byte of {rows:,} rows, {kind}", f"{1000 * first:,.1f} ms", beside))
    assert not max(streams) - min(streams) > ROOM, f"peak memory is not flat: {streams} MB"
    return table
