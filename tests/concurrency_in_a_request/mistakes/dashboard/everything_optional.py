"""The user's failure is caught, too.

Diagnosis: The user failed, and the caller is not told
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


async def in_time(call: Any, otherwise: Any) -> Any:
    try:
        async with asyncio.timeout(BUDGET):
            return await call
    except (TimeoutError, httpx.HTTPError):
        return otherwise


@app.get("/dashboard")
async def dashboard(request: Request) -> dict[str, Any]:
    user, recommendations = await asyncio.gather(
        in_time(ask(request, "/user"), None), in_time(ask(request, "/recommendations"), [])
    )
    return {"user": user, "recommendations": recommendations}
