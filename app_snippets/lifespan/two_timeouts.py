"""A timeout of the client, and a timeout around the call. Only one of them is for the whole answer."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, TypedDict

import httpx
from fastapi import Depends, FastAPI, HTTPException
from starlette.requests import HTTPConnection


class State(TypedDict):
    client: httpx.AsyncClient


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[State]:
    async with httpx.AsyncClient(base_url=os.environ["SERVICES_URL"], timeout=0.8) as client:
        yield {"client": client}


async def get_client(connection: HTTPConnection) -> httpx.AsyncClient:
    return connection.state.client


Client = Annotated[httpx.AsyncClient, Depends(get_client)]
app = FastAPI(lifespan=lifespan)


@app.get("/client/{path}")
async def timeout_of_the_client(client: Client, path: str) -> str:
    try:
        return (await client.get(f"/{path}")).text
    except httpx.TimeoutException as error:
        raise HTTPException(504) from error


@app.get("/call/{path}")
async def timeout_around_the_call(client: Client, path: str) -> str:
    try:
        async with asyncio.timeout(0.8):
            return (await client.get(f"/{path}")).text
    except (TimeoutError, httpx.TimeoutException) as error:
        raise HTTPException(504) from error
