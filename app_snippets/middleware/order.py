"""Three layers that say when they are passed, on the way in and on the way out."""

from fastapi import FastAPI, HTTPException, Request
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Named:
    def __init__(self, app: ASGIApp, name: str) -> None:
        self.app, self.name = app, name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope["state"].setdefault("way_in", []).append(self.name)

        async def send_signed(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append("x-way-out", self.name)
            await send(message)

        await self.app(scope, receive, send_signed)


app = FastAPI()
for name in ("added first", "added second", "added last"):
    app.add_middleware(Named, name=name)


@app.get("/")
async def way_in(request: Request) -> list[str]:
    return request.state.way_in


@app.get("/missing")
async def missing() -> None:
    raise HTTPException(404)


@app.get("/broken")
async def broken() -> None:
    raise RuntimeError("a bug")
