"""Pauses that use up the budget.

Diagnosis: used up the budget: make them shorter
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI, HTTPException, Request, Response

BUDGET = 0.9  # seconds for the whole call, with all its attempts and pauses
ATTEMPT = 0.3  # seconds for one attempt
ATTEMPTS = 5  # at most
PAUSE = 0.1  # seconds between two attempts, at least


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    async with httpx.AsyncClient(base_url=os.environ["SERVICES_URL"], timeout=None) as client:
        yield {"client": client}


async def ask(client: httpx.AsyncClient, method: str, path: str) -> httpx.Response:
    """The service's answer, whatever its status. Raises TimeoutError or httpx.TransportError when there is none."""
    response = None
    async with asyncio.timeout(BUDGET):
        for _ in range(ATTEMPTS):
            try:
                async with asyncio.timeout(ATTEMPT):
                    response = await client.request(method, path)
                if response.status_code < 500 or method == "POST":
                    return response
            except (TimeoutError, httpx.TransportError):
                if method == "POST":
                    raise
            await asyncio.sleep(1)
        if response is None:
            raise TimeoutError
        return response


app = FastAPI(lifespan=lifespan)


@app.get("/{path}")
@app.post("/{path}")
async def relay(request: Request, path: str) -> Response:
    try:
        response = await ask(request.state.client, request.method, f"/{path}")
    except (TimeoutError, httpx.TransportError) as error:
        raise HTTPException(504) from error
    return Response(response.content, response.status_code)
