"""Each row is fetched in a thread, and the loop waits for it.

Diagnosis: the loop stands still until they are there
"""

import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

from fastapi import Depends, FastAPI
from pydantic import BaseModel


class Reading(BaseModel):
    sensor: str
    celsius: float


class Archive:
    """The archive's SDK. It is synchronous, takes its time for each row, and is not ours to change."""

    def rows(self) -> Iterator[dict[str, Any]]:
        for number in range(6):
            time.sleep(0.06)
            yield {"sensor": f"S{number}", "celsius": 20.5, "password": "hunter2"}


app = FastAPI()


@app.get("/ping")
async def ping() -> str:
    return "pong"


@app.get("/readings")
async def readings(archive: Annotated[Archive, Depends()]) -> AsyncIterator[Reading]:
    rows = archive.rows()
    with ThreadPoolExecutor() as pool:
        while (row := pool.submit(next, rows, None).result()) is not None:
            yield Reading(**row)
