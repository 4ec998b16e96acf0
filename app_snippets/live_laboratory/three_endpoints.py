"""Three endpoints that take no time, some time, and more time; and a WebSocket that answers."""

import asyncio

from fastapi import FastAPI, WebSocket

app = FastAPI()


@app.get("/now")
async def now() -> str:
    return "now"


@app.get("/soon")
async def soon() -> str:
    await asyncio.sleep(0.6)
    return "soon"


@app.get("/later")
async def later() -> str:
    await asyncio.sleep(1.2)
    return "later"


@app.websocket("/echo")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    async for message in websocket.iter_text():
        await websocket.send_text(f"you said {message}")
