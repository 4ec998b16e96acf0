"""The handler looks again and again whether its thread is done, and sleeps in the loop meanwhile.

Diagnosis: The loop itself is held
"""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Annotated, Any
from urllib.request import urlopen

import anyio.to_thread
from fastapi import Depends, FastAPI, Request


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    with ThreadPoolExecutor(max_workers=25) as executor:
        yield {"executor": executor}


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
    future = request.state.executor.submit(fetch_quote, symbol)
    while not future.done():
        time.sleep(0.01)
        await asyncio.sleep(0)
    return future.result()
