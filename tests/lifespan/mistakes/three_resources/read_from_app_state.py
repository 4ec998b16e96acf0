"""The state is yielded, and read from app.state.

Diagnosis: `app.state` has what somebody set there
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Protocol, TypedDict

from fastapi import FastAPI, Request


class Resource(Protocol):
    """A client, a pool, a broker. Each of its methods may raise."""

    async def open(self) -> None: ...
    async def close(self) -> None: ...
    async def ask(self) -> str: ...


class State(TypedDict):
    client: Resource
    database: Resource
    broker: Resource


def make_app(client: Resource, database: Resource, broker: Resource) -> FastAPI:
    """An app that opens the three in this order when it starts, and closes them in reverse when it stops."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[State]:
        async with AsyncExitStack() as stack:
            for resource in (client, database, broker):
                await resource.open()
                stack.push_async_callback(resource.close)
            yield {"client": client, "database": database, "broker": broker}

    app = FastAPI(lifespan=lifespan)

    @app.get("/status")
    async def status(request: Request) -> list[str]:
        state = request.app.state
        return [await state.client.ask(), await state.database.ask(), await state.broker.ask()]

    return app
