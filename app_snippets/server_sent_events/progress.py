"""The progress of jobs as numbered events, so that who is cut off goes on where it was. With a page."""

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Annotated, Any

import anyio
from fastapi import Depends, FastAPI, Header, HTTPException, Request
from fastapi.responses import HTMLResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

PAGE = files("app_snippets.server_sent_events").joinpath("progress.html").read_text(encoding="utf-8")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    yield {"jobs": {}, "cuts": []}


app = FastAPI(lifespan=lifespan)
app.add_api_route("/", lambda: HTMLResponse(PAGE))


@app.post("/jobs", status_code=201)
async def start(request: Request) -> dict[str, str]:
    job = secrets.token_urlsafe(8)
    request.state.jobs[job] = anyio.current_time()  # the job is a clock: a step each 0.2 s, whoever listens
    return {"id": job}


def clock(job: str, request: Request) -> Callable[[], int]:
    if job not in request.state.jobs:
        raise HTTPException(404, "no such job")
    return lambda: min(20, int((anyio.current_time() - request.state.jobs[job]) / 0.2))


LastEventId = Annotated[str, Header(alias="last-event-id")]
Done = Annotated[Callable[[], int], Depends(clock)]


@app.get("/jobs/{job}/events", response_class=EventSourceResponse)
async def events(done: Done, request: Request, last: LastEventId = "") -> AsyncIterator[ServerSentEvent]:
    seen, cuts = min(int(last), done()) if last.isdecimal() and len(last) < 9 else 0, len(request.state.cuts)
    while seen < 20 and len(request.state.cuts) == cuts:
        await anyio.sleep(0.05)
        for number in range(seen + 1, done() + 1):
            yield ServerSentEvent(event="step", id=str(number), data=f"step {number} of 20", retry=300)
            seen = number
    if seen == 20:
        yield ServerSentEvent(event="end", data="that was all")


@app.post("/cut", status_code=204)
async def cut(request: Request) -> None:
    request.state.cuts.append("all that run now")
