"""The client on app.state.

Diagnosis: there is one `app` for both servers
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypedDict

import httpx
from fastapi import Depends, FastAPI, Request


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with httpx.AsyncClient(base_url=os.environ["SERVICES_URL"]) as client:
        app.state.client = client
        yield


async def get_client(request: Request) -> httpx.AsyncClient:
    return request.app.state.client


app = FastAPI(lifespan=lifespan)


@app.get("/price")
async def price(client: Annotated[httpx.AsyncClient, Depends(get_client)]) -> Any:
    response = await client.get("/price")
    return response.json()


@app.get("/stock")
async def stock(client: Annotated[httpx.AsyncClient, Depends(get_client)]) -> Any:
    response = await client.get("/stock")
    return response.json()
