"""Exports of the streaming lesson's own apps, each in a server process: first byte and peak memory."""

import http.client
import time

from tests.benchmarks.standalone import memory, standalone

SIZES = {"row_by_row": (1_000, 100_000, 1_000_000), "wrong_list": (1_000, 100_000)}
ROOM = 20.0  # MB by which the streams' peaks may differ
FIRST = 0.05  # seconds to the first byte of a stream

Row = tuple[str, str, str]


def one_export(app: str, rows: int) -> tuple[float, float, float]:
    """Seconds to the first byte and to the last, and the server's peak memory in MB, of one export."""
    with standalone(f"app_snippets.streaming.{app}:app") as (port, pid):
        firsts = []
        for _ in range(4):  # the first request of a server is slower; the last one is read to its end
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
        return min(firsts[1:]), last, memory(pid, peak=True)


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
