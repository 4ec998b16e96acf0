"""The token is taken from the address.

Diagnosis: it comes in the first message
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
    if websocket.headers.get("origin") not in ORIGINS:
        await websocket.close()
        return
    await websocket.accept()
    user = USERS.get(websocket.query_params.get("token", ""))
    if user is None:
        await websocket.close(1008, "a token first")
        return
    await websocket.send_json({"user": user})
    async for text in websocket.iter_text():
        await websocket.send_text(f"{user} said {text}")
