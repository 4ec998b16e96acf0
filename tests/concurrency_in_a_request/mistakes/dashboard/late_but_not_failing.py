"""Only a timeout is caught.

Diagnosis: failing ones take the whole dashboard with them
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI, Request

BUDGET = 0.3  # seconds for the recommendations


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    async with httpx.AsyncClient(base_url=os.environ["SERVICES_URL"]) as client:
        yield {"client": client}


app = FastAPI(lifespan=lifespan)


async def ask(request: Request, path: str) -> Any:
    response = await request.state.client.get(path)
    return response.raise_for_status().json()


async def recommended(request: Request) -> Any:
    try:
        async with asyncio.timeout(BUDGET):
            return await ask(request, "/recommendations")
    except TimeoutError:
        return []


@app.get("/dashboard")
async def dashboard(request: Request) -> dict[str, Any]:
    async with asyncio.TaskGroup() as group:
        user = group.create_task(ask(request, "/user"))
        recommendations = group.create_task(recommended(request))
    return {"user": user.result(), "recommendations": recommendations.result()}
