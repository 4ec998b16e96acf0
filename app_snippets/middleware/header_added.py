"""A security header, added to the list of headers that the answer has."""

from fastapi import FastAPI, Response
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class NoSniff:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_header(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["x-content-type-options"] = "nosniff"
            await send(message)

        await self.app(scope, receive, send_with_header)


app = FastAPI()
app.add_middleware(NoSniff)


@app.get("/login")
async def log_in(response: Response) -> str:
    for name in ("session", "csrf", "theme"):
        response.set_cookie(name, "1")
    return "welcome"
