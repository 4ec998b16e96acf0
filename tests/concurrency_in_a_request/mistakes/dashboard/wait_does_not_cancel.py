"""asyncio.wait with a timeout, and the task goes on.

Diagnosis: You stopped waiting, and the call did not stop
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
    task = asyncio.create_task(ask(request, "/recommendations"))
    user = await ask(request, "/user")
    await asyncio.wait({task}, timeout=BUDGET - 0.1)
    good = task.done() and not task.exception()
    return {"user": user, "recommendations": task.result() if good else []}
