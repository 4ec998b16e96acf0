"""A wrong token is passed over, and the next one may be right.

Diagnosis: the client may guess on
"""

# exercise: websockets/door
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
        await websocket.close()  # before accept(): status 403
        return
    await websocket.accept()
    try:
        user = None
        async with asyncio.timeout(PATIENCE):
            while user is None:
                first = await websocket.receive()
                if first["type"] == "websocket.disconnect":
                    return
                try:
                    user = USERS.get(json.loads(first["text"])["token"])
                except (ValueError, TypeError, KeyError):
                    pass
    except TimeoutError:
        pass
    if user is None:
        await websocket.close(1008, "a token first")
        return
    await websocket.send_json({"user": user})
    async for text in websocket.iter_text():
        await websocket.send_text(f"{user} said {text}")
