"""The client itself is yielded.

Diagnosis: its state, a dict
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypedDict

import httpx
from fastapi import Depends, FastAPI, Request


class State(TypedDict):
    client: httpx.AsyncClient


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[State]:
    async with httpx.AsyncClient(base_url=os.environ["SERVICES_URL"]) as client:
        yield client


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
