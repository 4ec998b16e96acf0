"""gather in place of the group: the 404 comes out, the others go on.

Diagnosis: went on with nobody waiting
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI, HTTPException, Request


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    async with httpx.AsyncClient(base_url=os.environ["SERVICES_URL"]) as client:
        yield {"client": client}


app = FastAPI(lifespan=lifespan)


async def ask(request: Request, path: str) -> Any:
    response = await request.state.client.get(path)
    if response.status_code == 404:
        raise HTTPException(404, f"{path} is not there")
    return response.raise_for_status().json()


async def offer(request: Request, name: str) -> dict[str, Any]:
    price, stock = await asyncio.gather(ask(request, f"/prices/{name}"), ask(request, f"/stock/{name}"))
    return {"price": price, "stock": stock}


@app.get("/products/{name}")
async def product(request: Request, name: str) -> dict[str, Any]:
    try:
        text, offered = await asyncio.gather(ask(request, f"/texts/{name}"), offer(request, name))
    except httpx.HTTPError:
        raise HTTPException(502) from None
    return {"text": text, "offer": offered}
