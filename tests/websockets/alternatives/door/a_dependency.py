"""The origin in a dependency that raises, the token in a function."""

import asyncio
import json

from fastapi import Depends, FastAPI, WebSocket, WebSocketDisconnect, WebSocketException

ORIGINS = {"https://app.example", "http://localhost:8888"}
USERS = {"secret-1": "ada", "secret-2": "grace"}  # by token
PATIENCE = 0.5  # seconds until the token must be there

app = FastAPI()


async def ours(websocket: WebSocket) -> None:
    if websocket.headers.get("origin") not in ORIGINS:
        raise WebSocketException(1008)


async def user_of(websocket: WebSocket) -> str:
    try:
        async with asyncio.timeout(PATIENCE):
            match await websocket.receive_json():
                case {"token": str(token)} if token in USERS:
                    return USERS[token]
    except (TimeoutError, ValueError, KeyError):
        pass
    raise WebSocketException(1008, "a token first")


@app.websocket("/news", dependencies=[Depends(ours)])
async def news(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        user = await user_of(websocket)
    except WebSocketDisconnect:
        return
    await websocket.send_json({"user": user})
    async for text in websocket.iter_text():
        await websocket.send_text(f"{user} said {text}")
