"""A global client that each server opens.

Diagnosis: cannot be opened again
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypedDict

import httpx
from fastapi import Depends, FastAPI, Request


class State(TypedDict):
    client: httpx.AsyncClient


shared = httpx.AsyncClient(base_url=os.environ["SERVICES_URL"])


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[State]:
    async with shared:
        yield {"client": shared}


async def get_client(request: Request) -> httpx.AsyncClient:
    return request.state.client


app = FastAPI(lifespan=lifespan)


@app.get("/price")
async def price(client: Annotated[httpx.AsyncClient, Depends(get_client)]) -> Any:
    response = await client.get("/price")
    return response.json()


@app.get("/stock")
async def stock(client: Annotated[httpx.AsyncClient, Depends(get_client)]) -> Any:
    response = await client.get("/stock")
    return response.json()
