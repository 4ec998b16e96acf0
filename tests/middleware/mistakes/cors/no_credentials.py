"""allow_credentials is left out.

Diagnosis: allow_credentials is missing
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
app.add_middleware(Authentication)
app.add_middleware(
    CORSMiddleware,
    allow_origins=ORIGINS,
    allow_methods=["GET", "DELETE"],
    allow_headers=["authorization"],
)


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
