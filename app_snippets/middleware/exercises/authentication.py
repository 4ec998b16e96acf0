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


# BEGIN SOLUTION
class Authentication:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope["path"] == "/health" or self.knows(scope):
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            refusal = JSONResponse({"detail": "who are you?"}, 401, headers={"WWW-Authenticate": "Bearer"})
            await refusal(scope, receive, send)

    def knows(self, scope: Scope) -> bool:
        given = Headers(scope=scope).get("authorization", "").encode("latin-1")
        return secrets.compare_digest(given, f"Bearer {TOKEN}".encode())


# STARTER
# | class Authentication(BaseHTTPMiddleware):
# |     async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
# |         if request.url.path.startswith("/private"):
# |             if request.headers.get("authorization") != f"Bearer {TOKEN}":
# |                 return JSONResponse({"detail": "who are you?"}, 401)
# |         return await call_next(request)
# END SOLUTION


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


@app.websocket("/live")
@app.websocket("/private/live")
async def live(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(DOCUMENTS["private/salaries"])
