"""WRONG: time.sleep in an async def holds the event loop."""

import time

from fastapi import FastAPI

app = FastAPI()


@app.get("/ping")
async def ping() -> str:
    return "pong"


@app.get("/report")
async def report() -> dict[str, str]:
    time.sleep(0.2)  # something slow
    return {"report": "ready"}
