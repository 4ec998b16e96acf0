"""WRONG: nobody keeps the task, so that the garbage collector may take it."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict
from weakref import WeakValueDictionary

from fastapi import FastAPI, Request

Confirmations = WeakValueDictionary[str, "asyncio.Future[str]"]  # by address; forgets what nobody waits for


class State(TypedDict):
    confirmations: Confirmations


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[State]:
    yield {"confirmations": WeakValueDictionary()}


app = FastAPI(lifespan=lifespan)


async def welcome_once_confirmed(address: str, confirmations: Confirmations) -> None:
    confirmation = confirmations[address] = asyncio.get_running_loop().create_future()
    await confirmation  # and then, the welcome mail


@app.post("/sign-up/{address}", status_code=201)
async def sign_up(address: str, request: Request) -> str:
    asyncio.create_task(welcome_once_confirmed(address, request.state.confirmations))  # noqa: RUF006
    return "a mail will follow"


@app.post("/collect-garbage")
async def collect_garbage(request: Request) -> list[str]:
    gc.collect()  # Python does it by itself, now and then
    return list(request.state.confirmations)
