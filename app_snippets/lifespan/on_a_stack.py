"""Two resources on an exit stack: each is registered to be closed as soon as it is open."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request


class Resource:
    """Stands in for a client or a pool: notes in a log what happens to it, and fails where it is told to."""

    def __init__(self, name: str, log: list[str], fault: str) -> None:
        self.name, self.log, self.fault = name, log, fault

    async def open(self) -> None:
        self.do(f"open {self.name}")

    async def close(self) -> None:
        self.do(f"close {self.name}")

    def do(self, what: str) -> None:
        self.log.append(f"{what} ✘" if what == self.fault else what)
        if what == self.fault:
            raise ConnectionError(f"{what}: the network is down")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    client, database = (Resource(name, app.state.log, app.state.fault) for name in ("client", "database"))
    async with AsyncExitStack() as stack:
        for resource in (client, database):
            await resource.open()
            stack.push_async_callback(resource.close)
        yield {"client": client, "database": database}


app = FastAPI(lifespan=lifespan)
app.state.log, app.state.fault = [], ""


@app.get("/resources")
async def resources(request: Request) -> list[str]:
    return [request.state.client.name, request.state.database.name]
