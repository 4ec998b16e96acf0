"""CORS by Starlette's own middleware: one page may read and delete, no other may."""

from fastapi import FastAPI, WebSocket
from fastapi.middleware.cors import CORSMiddleware

app = FastAPI()
app.add_middleware(
    CORSMiddleware,
    allow_origins=["https://good.example"],
    allow_credentials=True,
    allow_methods=["GET", "DELETE"],
    allow_headers=["authorization"],
)


@app.get("/inbox")
async def inbox() -> list[str]:
    return ["a private letter"]


@app.delete("/inbox")
async def empty() -> None: ...


@app.get("/broken")
async def broken() -> None:
    raise RuntimeError("a bug")


@app.websocket("/live")
async def live(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("a private letter")
