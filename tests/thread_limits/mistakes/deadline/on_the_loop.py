"""The rows are written in the loop.

Diagnosis: The loop is held
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


def export(job: str, rows: int) -> int:
    for row in range(rows):
        write_row(row, job)
    return rows


@app.get("/ping")
async def ping() -> str:
    return "pong"


@app.post("/exports/{job}")
async def create_export(job: str, rows: int) -> dict[str, int]:
    try:
        async with asyncio.timeout(DEADLINE):
            return {"written": export(job, rows)}
    except TimeoutError:
        raise HTTPException(504, "the export took too long, and was stopped") from None
