"""BaseHTTPMiddleware, with everything closed: no WebSocket comes to dispatch.

Diagnosis: `dispatch` is never called for it
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


class Authentication(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        if request.url.path != "/health" and request.headers.get("authorization") != f"Bearer {TOKEN}":
            return JSONResponse({"detail": "who are you?"}, 401)
        return await call_next(request)


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
