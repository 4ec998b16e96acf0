"""The group is given up.

Diagnosis: run one after another now
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
    price = await ask(request, f"/prices/{name}")
    stock = await ask(request, f"/stock/{name}")
    return {"price": price, "stock": stock}


@app.get("/products/{name}")
async def product(request: Request, name: str) -> dict[str, Any]:
    try:
        text = await ask(request, f"/texts/{name}")
        return {"text": text, "offer": await offer(request, name)}
    except httpx.HTTPError:
        raise HTTPException(502) from None
