"""WRONG: a client for each request. Each builds its own, and its connection ends with it."""

import os
from typing import Any

import httpx
from fastapi import FastAPI

app = FastAPI()


@app.get("/ping")
async def ping() -> str:
    return "pong"


@app.get("/price")
async def price() -> Any:
    async with httpx.AsyncClient(base_url=os.environ["SERVICES_URL"]) as client:
        response = await client.get("/price")
    return response.json()
