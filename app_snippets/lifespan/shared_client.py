"""One client, opened when the server starts and closed when it stops. A dependency hands it out with its type."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypedDict

import httpx
from fastapi import Depends, FastAPI
from starlette.requests import HTTPConnection


class State(TypedDict):
    client: httpx.AsyncClient


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[State]:
    async with httpx.AsyncClient(base_url=os.environ["SERVICES_URL"]) as client:
        yield {"client": client}


async def get_client(connection: HTTPConnection) -> httpx.AsyncClient:
    return connection.state.client


Client = Annotated[httpx.AsyncClient, Depends(get_client)]
app = FastAPI(lifespan=lifespan)


@app.get("/ping")
async def ping() -> str:
    return "pong"


@app.get("/price")
async def price(client: Client) -> Any:
    response = await client.get("/price")
    return response.json()
