"""WRONG: a synchronous HTTP client in an async def holds the loop until the other side answers."""

import os

import httpx
from fastapi import FastAPI

app = FastAPI()


@app.get("/ping")
async def ping() -> str:
    return "pong"


@app.get("/report")
async def report() -> dict[str, int]:
    response = httpx.get(os.environ["FIGURES_URL"] + "/figures")
    return response.json()
