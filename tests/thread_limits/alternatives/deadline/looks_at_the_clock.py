"""The thread knows its deadline and looks at the clock; a plain def will do."""

import asyncio
import os
import time
from urllib.request import urlopen

from fastapi import FastAPI, HTTPException

DEADLINE = 0.5  # seconds

app = FastAPI()


def write_row(row: int, job: str) -> None:
    """The warehouse's SDK: one row, about 20 ms. It is synchronous, and not ours to change."""
    urlopen(f"{os.environ['WAREHOUSE_URL']}/{job}/{row}", data=b"", timeout=5).close()


def export(job: str, rows: int, until: float) -> int:
    for row in range(rows):
        if time.monotonic() > until:
            raise TimeoutError
        write_row(row, job)
    return rows


@app.get("/ping")
async def ping() -> str:
    return "pong"


@app.post("/exports/{job}")
def create_export(job: str, rows: int) -> dict[str, int]:
    try:
        return {"written": export(job, rows, time.monotonic() + DEADLINE)}
    except TimeoutError:
        raise HTTPException(504, "the export took too long") from None
