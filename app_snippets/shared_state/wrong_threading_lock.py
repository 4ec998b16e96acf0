"""WRONG: a lock for threads is held across an await. The second request stops the loop for good."""

import asyncio
import threading

from fastapi import FastAPI

app = FastAPI()
app.state.lock = threading.Lock()


@app.get("/ping")
async def ping() -> str:
    return "pong"


@app.get("/ticket")
async def ticket() -> str:
    with app.state.lock:
        await asyncio.sleep(0.2)
    return "yours"
