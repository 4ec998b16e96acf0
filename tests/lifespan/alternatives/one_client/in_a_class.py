"""A class of resources as the state."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypedDict

import httpx
from fastapi import Depends, FastAPI, Request


class Shared:
    def __init__(self) -> None:
        self.client = httpx.AsyncClient(base_url=os.environ["SERVICES_URL"])


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Shared]]:
    shared = Shared()
    async with shared.client:
        yield {"shared": shared}


async def get_client(request: Request) -> httpx.AsyncClient:
    return request.state.shared.client


app = FastAPI(lifespan=lifespan)


@app.get("/price")
async def price(client: Annotated[httpx.AsyncClient, Depends(get_client)]) -> Any:
    response = await client.get("/price")
    return response.json()


@app.get("/stock")
async def stock(client: Annotated[httpx.AsyncClient, Depends(get_client)]) -> Any:
    response = await client.get("/stock")
    return response.json()
