"""What is too much is passed over, and the client stays until it is silent.

Diagnosis: What is too much goes unanswered
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


async def ping(websocket: WebSocket) -> None:
    while True:
        await asyncio.sleep(EVERY)
        await websocket.send_text("ping")


async def talk(websocket: WebSocket) -> tuple[int, str]:
    """Shout back until a limit is reached. The code and the reason of the close."""
    recent = deque[float](maxlen=MOST)  # when the last messages came
    while True:
        try:
            async with asyncio.timeout(IDLE):
                text = await websocket.receive_text()
        except TimeoutError:
            return 1008, ""
        if len(text.encode()) > LONGEST:
            return 1009, "too long"
        if len(recent) == MOST and time.monotonic() - recent[0] < 1:
            continue
        recent.append(time.monotonic())
        await websocket.send_text(text.upper())


@app.websocket("/shout")
async def shout(websocket: WebSocket) -> None:
    await websocket.accept()
    pings = asyncio.create_task(ping(websocket))
    try:
        code, reason = await talk(websocket)
    except WebSocketDisconnect:
        return
    finally:
        pings.cancel()
    await websocket.close(code, reason)
