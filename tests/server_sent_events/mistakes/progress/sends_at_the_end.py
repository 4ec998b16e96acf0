"""All steps are sent when the job is over.

Diagnosis: The client hears of the steps when the job is over
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import FastAPI, Header
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent


class Job:
    """A job that runs somewhere else. We can ask how far it is. It is not ours to change."""

    started = time.monotonic()

    def state(self) -> str:
        """ "running", "done" or "failed"."""
        return "done" if len(self.steps()) == 10 else "running"

    def steps(self) -> list[str]:
        """What each step that is done has said, the first one first."""
        done = int((time.monotonic() - self.started) / 0.3)
        return [f"step {number}\nis done" for number in range(1, 11)][:done]


app = FastAPI()
job = Job()


@app.get("/ping")
async def ping() -> str:
    return "pong"


@app.get("/events", response_class=EventSourceResponse)
async def events(last_event_id: Annotated[str, Header()] = "") -> AsyncIterator[ServerSentEvent]:
    seen = int(last_event_id) if last_event_id.isdecimal() and len(last_event_id) < 9 else 0
    while (state := job.state()) == "running":
        await asyncio.sleep(0.05)
    for number, said in enumerate(job.steps()[seen:], start=seen + 1):
        yield ServerSentEvent(id=str(number), data=said)
    yield ServerSentEvent(event="end" if state == "done" else "failed", data=state)
