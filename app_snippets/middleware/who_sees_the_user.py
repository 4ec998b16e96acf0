"""The endpoint sets a context variable. Three middlewares look at it when the answer begins."""

from contextvars import ContextVar

from fastapi import FastAPI, Request, Response
from starlette.datastructures import MutableHeaders
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.types import ASGIApp, Message, Receive, Scope, Send

user: ContextVar[str] = ContextVar("user", default="nobody")


class Pure:
    def __init__(self, app: ASGIApp, place: str) -> None:
        self.app, self.place = app, place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def look(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[f"x-{self.place}"] = user.get()
            await send(message)

        await self.app(scope, receive, look)


class Dispatch(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        response.headers["x-dispatch"] = user.get()
        return response


app = FastAPI()
app.add_middleware(Pure, place="inside")
app.add_middleware(Dispatch)
app.add_middleware(Pure, place="outside")


@app.get("/")
async def log_in() -> None:
    user.set("ada")
