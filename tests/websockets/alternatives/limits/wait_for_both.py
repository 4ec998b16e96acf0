"""One task that waits for a message or for the time to ping, and keeps the receive."""

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
    receiving = asyncio.create_task(websocket.receive_text())
    heard = time.monotonic()
    pinged, recent = heard, deque[float]()
    try:
        while True:
            done, _ = await asyncio.wait({receiving}, timeout=max(0, pinged + EVERY - time.monotonic()))
            now = time.monotonic()
            if now >= pinged + EVERY:
                pinged += EVERY
                await websocket.send_text("ping")
            if not done:
                if now - heard > IDLE - EVERY / 2:
                    return await websocket.close(1008, "idle")
                continue
            text, heard = receiving.result(), now
            receiving = asyncio.create_task(websocket.receive_text())
            while recent and now - recent[0] >= 1:
                recent.popleft()
            recent.append(now)
            if len(recent) > MOST:
                return await websocket.close(1008, "too many")
            if len(text.encode()) > LONGEST:
                return await websocket.close(1009, "too long")
            await websocket.send_text(text.upper())
    except WebSocketDisconnect:
        pass
    finally:
        receiving.cancel()
