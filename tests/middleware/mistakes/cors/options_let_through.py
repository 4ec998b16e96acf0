"""OPTIONS needs no token, and no route knows it.

Diagnosis: it ended at the routes
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ORIGINS = ["https://shop.example.com", "http://localhost:5173"]


class Authentication:
    """No answer without a token. It is right as it is."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and Headers(scope=scope).get("authorization") != "Bearer swordfish":
            await JSONResponse({"detail": "log in first"}, 401)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    yield {"orders": {"1": "a lamp"}}


app = FastAPI(lifespan=lifespan)
from starlette.responses import Response


class ByHand:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        origin = Headers(scope=scope).get("origin", "")

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.add_vary_header("origin")
                if origin in ORIGINS:
                    headers["access-control-allow-origin"] = origin
                    headers["access-control-allow-credentials"] = "true"
            await send(message)

        await self.app(scope, receive, send_with_headers)


class LetOptionsThrough(Authentication):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "OPTIONS":
            return await self.app(scope, receive, send)
        await super().__call__(scope, receive, send)


app.add_middleware(LetOptionsThrough)
app.add_middleware(ByHand)


@app.get("/orders")
async def read_orders(request: Request) -> dict[str, str]:
    return request.state.orders


@app.get("/orders/{number}")
async def read_order(request: Request, number: str) -> str:
    if number not in request.state.orders:
        raise HTTPException(404)
    return request.state.orders[number]


@app.delete("/orders/{number}")
async def cancel_order(request: Request, number: str) -> None:
    request.state.orders.pop(number, None)
