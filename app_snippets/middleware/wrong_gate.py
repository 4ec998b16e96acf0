"""WRONG: a gate for the whole app, it seems. It answers 500 at one door, and the other stands open."""

from fastapi import FastAPI, HTTPException, Request, Response, WebSocket
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint


class Gate(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        if request.url.path.startswith("/salaries") and request.headers.get("authorization") != "Bearer swordfish":
            raise HTTPException(401)
        return await call_next(request)


app = FastAPI()
app.add_middleware(Gate)


@app.get("/salaries")
async def salaries() -> dict[str, int]:
    return {"ada": 100}


@app.websocket("/salaries/live")
async def live_salaries(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_json({"ada": 100})
