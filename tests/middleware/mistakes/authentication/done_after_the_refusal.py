"""The refusal is sent, and then the app is called.

Diagnosis: and the order was made
"""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response, WebSocket
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.types import ASGIApp, Receive, Scope, Send

TOKEN = "swordfish"
DOCUMENTS = {"handbook": "be kind", "private/salaries": "ada 100"}


class Authentication:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope["path"] == "/health" or self.knows(scope):
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:

            async def nowhere(message):
                pass

            refusal = JSONResponse({"detail": "who are you?"}, 401, headers={"WWW-Authenticate": "Bearer"})
            await refusal(scope, receive, send)
            await self.app(scope, receive, nowhere)

    def knows(self, scope: Scope) -> bool:
        given = Headers(scope=scope).get("authorization", "").encode("latin-1")
        return secrets.compare_digest(given, f"Bearer {TOKEN}".encode())


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    yield {"orders": []}


app = FastAPI(lifespan=lifespan)
app.add_middleware(Authentication)


@app.get("/health")
async def health(request: Request) -> dict[str, int]:
    return {"orders": len(request.state.orders)}


@app.post("/private/orders")
async def order(request: Request) -> int:
    request.state.orders.append("a yacht")
    return len(request.state.orders)


@app.get("/{name:path}")
async def document(name: str) -> str:
    if name.strip("/") not in DOCUMENTS:
        raise HTTPException(404)
    return DOCUMENTS[name.strip("/")]


@app.websocket("/private/live")
async def live(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(DOCUMENTS["private/salaries"])
