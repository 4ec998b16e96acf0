"""The work is cancelled when the client leaves: a task beside it waits for the message that says so."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import httpx
from fastapi import FastAPI, Request, Response


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, httpx.AsyncClient]]:
    async with httpx.AsyncClient(base_url=os.environ["SERVICES_URL"]) as client:
        yield {"client": client}


app = FastAPI(lifespan=lifespan)


async def cancel_when_left(request: Request, scope: anyio.CancelScope) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


@asynccontextmanager
async def while_connected(request: Request) -> AsyncIterator[None]:
    """Cancel the block when the client leaves. The lines after the block run in any case."""
    async with anyio.create_task_group() as group:
        group.start_soon(cancel_when_left, request, group.cancel_scope)
        yield
        group.cancel_scope.cancel()  # the block is done: nobody needs to watch any more


@app.get("/report", response_model=list[int])
async def report(request: Request) -> object:
    async with while_connected(request):
        response = await request.state.client.get("/report")
        return response.json()
    return Response(status_code=499)  # reached by no client, and seen in the access log
