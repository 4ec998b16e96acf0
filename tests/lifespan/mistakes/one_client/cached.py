"""A function that makes it once.

Diagnosis: made once for the whole module
"""

import functools
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypedDict

import httpx
from fastapi import Depends, FastAPI, Request


@functools.cache
def get_client() -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=os.environ["SERVICES_URL"])


app = FastAPI()


@app.get("/price")
async def price(client: Annotated[httpx.AsyncClient, Depends(get_client)]) -> Any:
    response = await client.get("/price")
    return response.json()


@app.get("/stock")
async def stock(client: Annotated[httpx.AsyncClient, Depends(get_client)]) -> Any:
    response = await client.get("/stock")
    return response.json()
