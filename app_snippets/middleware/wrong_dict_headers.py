"""WRONG: a security header, added to a dict of the headers. A dict has one value for a name."""

from fastapi import FastAPI, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class NoSniff:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_header(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = dict(message["headers"])
                headers[b"x-content-type-options"] = b"nosniff"
                message["headers"] = list(headers.items())
            await send(message)

        await self.app(scope, receive, send_with_header)


app = FastAPI()
app.add_middleware(NoSniff)


@app.get("/login")
async def log_in(response: Response) -> str:
    for name in ("session", "csrf", "theme"):
        response.set_cookie(name, "1")
    return "welcome"
