"""Models are yielded into a StreamingResponse.

Diagnosis: What was yielded is no text
"""

import time
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

from fastapi import Depends, FastAPI
from fastapi.responses import StreamingResponse
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


@app.get("/readings", response_class=StreamingResponse)
def readings(archive: Annotated[Archive, Depends()]) -> Iterator[Reading]:
    for row in archive.rows():
        yield Reading(**row)
