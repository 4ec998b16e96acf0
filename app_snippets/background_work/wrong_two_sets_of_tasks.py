"""WRONG: a response that brings a task of its own discards the injected ones."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

from fastapi import BackgroundTasks, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from starlette.background import BackgroundTask


class State(TypedDict):
    log: list[str]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[State]:
    yield {"log": []}


app = FastAPI(lifespan=lifespan)


@app.post("/own-response")
async def own_response(request: Request, tasks: BackgroundTasks) -> JSONResponse:
    tasks.add_task(request.state.log.append, "injected")
    return JSONResponse("welcome", background=BackgroundTask(request.state.log.append, "the response's own"))


@app.post("/refused")
async def refused(request: Request, tasks: BackgroundTasks) -> str:
    tasks.add_task(request.state.log.append, "note the refusal")
    raise HTTPException(409, "this address has signed up before")


@app.get("/log")
async def read_log(request: Request) -> list[str]:
    return request.state.log
