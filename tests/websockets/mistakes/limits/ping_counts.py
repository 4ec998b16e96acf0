"""A ping that goes out begins the time of silence anew.

Diagnosis: A ping that goes out is no sign of life
"""

# exercise: websockets/limits
import asyncio
import time
from collections import deque

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

IDLE = 0.6  # seconds that a client may be silent
MOST = 20  # messages of one client in one second
LONGEST = 16_000  # bytes of one message
EVERY = 0.2  # seconds between two pings

app = FastAPI()


async def talk(websocket: WebSocket) -> tuple[int, str]:
    """Shout back until a limit is reached. The code and the reason of the close."""
    recent = deque[float](maxlen=MOST)  # when the last messages came
    while True:
        receiving = asyncio.create_task(websocket.receive_text())
        silent = 0.0
        while silent < IDLE and not (await asyncio.wait({receiving}, timeout=EVERY))[0]:
            await websocket.send_text("ping")
            silent = 0.0
        if not receiving.done():
            return 1008, "idle"
        text = receiving.result()
        if len(text.encode()) > LONGEST:
            return 1009, "too long"
        if len(recent) == MOST and time.monotonic() - recent[0] < 1:
            return 1008, "too many messages"
        recent.append(time.monotonic())
        await websocket.send_text(text.upper())


@app.websocket("/shout")
async def shout(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        code, reason = await talk(websocket)
    except WebSocketDisconnect:
        return
    await websocket.close(code, reason)
