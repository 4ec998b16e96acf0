"""A second try after a pause, for what is missing too.

Diagnosis: The answer was known at once, and went out much later
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
    async with asyncio.TaskGroup() as group:
        price = group.create_task(ask(request, f"/prices/{name}"))
        stock = group.create_task(ask(request, f"/stock/{name}"))
    return {"price": price.result(), "stock": stock.result()}


@app.get("/products/{name}")
async def product(request: Request, name: str) -> dict[str, Any]:
    status = 0
    for pause in (0.5, 0):
        try:
            async with asyncio.TaskGroup() as group:
                text = group.create_task(ask(request, f"/texts/{name}"))
                offered = group.create_task(offer(request, name))
        except* HTTPException:
            status = 404
        except* httpx.HTTPError:
            status = 502
        else:
            return {"text": text.result(), "offer": offered.result()}
        await asyncio.sleep(pause)
    raise HTTPException(status)
