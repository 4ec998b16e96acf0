"""A plain def, and still a list.

Diagnosis: It is one JSON list
"""

import time
from collections.abc import AsyncIterator, Iterator
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
def readings(archive: Annotated[Archive, Depends()]) -> list[Reading]:
    return [Reading(**row) for row in archive.rows()]
