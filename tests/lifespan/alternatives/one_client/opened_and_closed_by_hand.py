"""aclose in a finally, no TypedDict."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypedDict

import httpx
from fastapi import Depends, FastAPI, Request


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    client = httpx.AsyncClient(base_url=os.environ["SERVICES_URL"])
    try:
        yield {"http": client}
    finally:
        await client.aclose()


def get_client(request: Request) -> httpx.AsyncClient:
    return request.state["http"]


app = FastAPI(lifespan=lifespan)


@app.get("/price")
async def price(client: Annotated[httpx.AsyncClient, Depends(get_client)]) -> Any:
    response = await client.get("/price")
    return response.json()


@app.get("/stock")
async def stock(client: Annotated[httpx.AsyncClient, Depends(get_client)]) -> Any:
    response = await client.get("/stock")
    return response.json()
