"""A semaphore of the threading module in an async def.

Diagnosis: The loop itself is held
"""

import asyncio
import json
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any
from urllib.request import urlopen

import anyio.to_thread
from fastapi import Depends, FastAPI, Request


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    yield {"quotes": threading.Semaphore(25)}


app = FastAPI(lifespan=lifespan)


def fetch_quote(symbol: str) -> float:
    """The stock exchange's SDK. It is synchronous, and not ours to change."""
    with urlopen(f"{os.environ['EXCHANGE_URL']}/quotes/{symbol}", timeout=5) as response:
        return json.load(response)["price"]


def get_version() -> str:
    return "1.0"


@app.get("/health")
def health(version: Annotated[str, Depends(get_version)]) -> dict[str, str]:
    return {"status": "ok", "version": version}


@app.get("/quotes/{symbol}")
async def quote(symbol: str, request: Request) -> float:
    with request.state.quotes:
        return await asyncio.to_thread(fetch_quote, symbol)
