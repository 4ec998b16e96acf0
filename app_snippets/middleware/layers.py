"""The same header, added by a layer of each kind, as often as one likes."""

from fastapi import FastAPI, Request, Response
from starlette.datastructures import MutableHeaders
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class WithDispatch(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        response.headers["x-layer"] = "dispatch"
        return response


class PureASGI:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_header(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["x-layer"] = "pure"
            await send(message)

        await self.app(scope, receive, send_with_header)


async def done() -> str:
    return "done"


def build(layer: type, depth: int) -> FastAPI:
    app = FastAPI()
    app.add_api_route("/", done)
    for _ in range(depth):
        app.add_middleware(layer)
    return app


app = build(WithDispatch, 3)
