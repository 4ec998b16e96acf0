"""A slow service on the network: it takes 0.2 s for its figures."""

import asyncio

from fastapi import FastAPI

app = FastAPI()


@app.get("/figures")
async def figures() -> dict[str, int]:
    await asyncio.sleep(0.2)
    return {"orders": 42}
