"""Each ping forgets a receive that has begun.

Diagnosis: A message was lost
"""

import asyncio
import time
from collections import deque

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

IDLE = 0.6  # seconds that a client may be silent
MOST = 20  # messages of one client in one second
LONGEST = 16_000  # bytes of one message
EVERY = 0.2  # seconds between two pings

app = FastAPI()


@app.websocket("/shout")
async def shout(websocket: WebSocket) -> None:
    await websocket.accept()
    while True:
        receiving = asyncio.create_task(websocket.receive_text())
        done, _ = await asyncio.wait({receiving}, timeout=EVERY)
        if not done:
            await websocket.send_text("ping")
            continue
        try:
            await websocket.send_text(receiving.result().upper())
        except WebSocketDisconnect:
            return
