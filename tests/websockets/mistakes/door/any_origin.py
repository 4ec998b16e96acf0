"""The origin is not looked at.

Diagnosis: WebSockets are not covered by CORS
"""

import asyncio
import json

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

ORIGINS = {"https://app.example", "http://localhost:8888"}
USERS = {"secret-1": "ada", "secret-2": "grace"}  # by token
PATIENCE = 0.5  # seconds until the token must be there

app = FastAPI()


@app.websocket("/news")
async def news(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        async with asyncio.timeout(PATIENCE):
            first = await websocket.receive()
        if first["type"] == "websocket.disconnect":
            return
        user = USERS.get(json.loads(first["text"])["token"])
    except (TimeoutError, ValueError, TypeError, KeyError):
        user = None
    if user is None:
        await websocket.close(1008, "a token first")
        return
    await websocket.send_json({"user": user})
    async for text in websocket.iter_text():
        await websocket.send_text(f"{user} said {text}")
