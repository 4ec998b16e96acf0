"""The common limiter is made larger while the file is imported.

Diagnosis: belongs to a running event loop
"""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any
from urllib.request import urlopen

import anyio.to_thread
from fastapi import Depends, FastAPI, Request


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    yield {}


app = FastAPI(lifespan=lifespan)
anyio.to_thread.current_default_thread_limiter().total_tokens = 100


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
def quote(symbol: str) -> float:
    return fetch_quote(symbol)
