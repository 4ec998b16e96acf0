"""What a lifespan sets on `app.state`, and what it yields. An app in an app sees only one of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

from fastapi import FastAPI, Request


class State(TypedDict):
    motto: str
    visits: int
    visitors: list[str]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[State]:
    app.state.motto = "set on app.state"
    yield {"motto": "yielded", "visits": 0, "visitors": []}


admin = FastAPI()
app = FastAPI(lifespan=lifespan)


@app.get("/app-state")
@admin.get("/app-state")
async def read_app_state(request: Request) -> str:
    return request.app.state.motto


@app.get("/request-state")
@admin.get("/request-state")
async def read_request_state(request: Request) -> str:
    return request.state.motto


@app.get("/visits/{name}")
async def visit(request: Request, name: str) -> dict[str, int]:
    request.state.visits += 1
    request.state.visitors.append(name)
    return {"visits": request.state.visits, "visitors": len(request.state.visitors)}


app.mount("/admin", admin)
