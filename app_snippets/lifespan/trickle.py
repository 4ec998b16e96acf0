"""A service on the network: silent for 2 s, or a drop each 0.1 s for 1.2 s."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()


@app.get("/silent")
async def silent() -> str:
    await asyncio.sleep(2)
    return "done"


@app.get("/drops")
async def drops() -> StreamingResponse:
    async def fall() -> AsyncIterator[bytes]:
        for _ in range(12):
            yield b"."
            await asyncio.sleep(0.1)

    return StreamingResponse(fall(), media_type="text/plain")
