"""The optional part is left out altogether.

Diagnosis: these were neither
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


@app.get("/dashboard")
async def dashboard(request: Request) -> dict[str, Any]:
    return {"user": await ask(request, "/user"), "recommendations": []}
