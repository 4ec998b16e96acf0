"""WRONG: when the first background task fails, those after it never run."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

from fastapi import BackgroundTasks, FastAPI, Request


class State(TypedDict):
    log: list[str]  # the sign-up log, for the auditors


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[State]:
    yield {"log": []}


app = FastAPI(lifespan=lifespan)


async def send_welcome(address: str, log: list[str]) -> None:
    log.append(f"mail to {address} begins")
    await asyncio.sleep(0.2)
    if "@" not in address:
        raise ValueError(f"no mail can be sent to {address}")
    log.append(f"mail to {address} is out")


@app.post("/sign-up/{address}", status_code=201)
async def sign_up(address: str, tasks: BackgroundTasks, request: Request) -> str:
    log = request.state.log
    tasks.add_task(send_welcome, address, log)
    tasks.add_task(log.append, f"{address} has signed up")
    return "welcome"


@app.get("/log")
async def read_log(request: Request) -> list[str]:
    return request.state.log
