"""A global variable that the lifespan sets.

Diagnosis: The client is in a global variable
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypedDict

import httpx
from fastapi import Depends, FastAPI, Request


shared: httpx.AsyncClient


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    global shared
    async with httpx.AsyncClient(base_url=os.environ["SERVICES_URL"]) as shared:
        yield


async def get_client() -> httpx.AsyncClient:
    return shared


app = FastAPI(lifespan=lifespan)


@app.get("/price")
async def price(client: Annotated[httpx.AsyncClient, Depends(get_client)]) -> Any:
    response = await client.get("/price")
    return response.json()


@app.get("/stock")
async def stock(client: Annotated[httpx.AsyncClient, Depends(get_client)]) -> Any:
    response = await client.get("/stock")
    return response.json()
