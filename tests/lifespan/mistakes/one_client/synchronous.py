"""A shared synchronous client.

Diagnosis: the calls take turns
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypedDict

import httpx
from fastapi import Depends, FastAPI, Request


class State(TypedDict):
    client: httpx.Client


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[State]:
    with httpx.Client(base_url=os.environ["SERVICES_URL"]) as client:
        yield {"client": client}


async def get_client(request: Request) -> httpx.Client:
    return request.state.client


app = FastAPI(lifespan=lifespan)


@app.get("/price")
async def price(client: Annotated[httpx.Client, Depends(get_client)]) -> Any:
    response = client.get("/price")
    return response.json()


@app.get("/stock")
async def stock(client: Annotated[httpx.Client, Depends(get_client)]) -> Any:
    response = client.get("/stock")
    return response.json()
