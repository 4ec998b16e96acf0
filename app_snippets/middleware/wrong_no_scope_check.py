"""WRONG: this middleware takes each scope for an HTTP request. The first scope is none."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from starlette.types import ASGIApp, Receive, Scope, Send


class Language:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        wanted = dict(scope["headers"]).get(b"accept-language", b"en")
        scope.setdefault("state", {})["language"] = wanted.decode("latin-1")
        await self.app(scope, receive, send)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, dict[str, str]]]:
    yield {"greetings": {"en": "hello", "de": "hallo"}}


app = FastAPI(lifespan=lifespan)
app.add_middleware(Language)


@app.get("/")
async def greet(request: Request) -> str:
    return request.state.greetings.get(request.state.language, "hello")
