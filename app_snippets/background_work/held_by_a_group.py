"""A task group around the whole life of the server holds the tasks that requests start."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict
from weakref import WeakValueDictionary

from fastapi import FastAPI, Request

Confirmations = WeakValueDictionary[str, "asyncio.Future[str]"]


class State(TypedDict):
    confirmations: Confirmations
    jobs: asyncio.TaskGroup


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[State]:
    async with asyncio.TaskGroup() as jobs:
        yield {"confirmations": WeakValueDictionary(), "jobs": jobs}


app = FastAPI(lifespan=lifespan)


async def welcome_once_confirmed(address: str, confirmations: Confirmations) -> None:
    confirmation = confirmations[address] = asyncio.get_running_loop().create_future()
    logging.getLogger("jobs").warning("welcome, %s", await confirmation)


@app.post("/sign-up/{address}", status_code=201)
async def sign_up(address: str, request: Request) -> str:
    request.state.jobs.create_task(welcome_once_confirmed(address, request.state.confirmations))
    return "a mail will follow"


@app.post("/confirm/{address}")
async def confirm(address: str, request: Request) -> None:
    request.state.confirmations[address].set_result(address)


@app.post("/collect-garbage")
async def collect_garbage(request: Request) -> list[str]:
    gc.collect()
    return list(request.state.confirmations)
