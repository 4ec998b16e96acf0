"""The thread looks at the event once in fifty rows.

Diagnosis: does not look at it while it writes
"""

import asyncio
import os
import threading
from urllib.request import urlopen

from fastapi import FastAPI, HTTPException

DEADLINE = 0.5  # seconds

app = FastAPI()


def write_row(row: int, job: str) -> None:
    """The warehouse's SDK: one row, about 20 ms. It is synchronous, and not ours to change."""
    urlopen(f"{os.environ['WAREHOUSE_URL']}/{job}/{row}", data=b"", timeout=5).close()


def export(job: str, rows: int, stop: threading.Event) -> int:
    for row in range(rows):
        if row % 50 == 0 and stop.is_set():
            return row
        write_row(row, job)
    return rows


@app.get("/ping")
async def ping() -> str:
    return "pong"


@app.post("/exports/{job}")
async def create_export(job: str, rows: int) -> dict[str, int]:
    stop = threading.Event()
    try:
        async with asyncio.timeout(DEADLINE):
            return {"written": await asyncio.to_thread(export, job, rows, stop)}
    except TimeoutError:
        raise HTTPException(504, "the export took too long") from None
    finally:
        stop.set()
