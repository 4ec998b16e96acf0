"""WRONG: two resources are opened and closed by hand. When one of them fails, the other stays open."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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
    await client.open()
    await database.open()
    yield {"client": client, "database": database}
    await database.close()
    await client.close()


app = FastAPI(lifespan=lifespan)
app.state.log, app.state.fault = [], ""


@app.get("/resources")
async def resources(request: Request) -> list[str]:
    return [request.state.client.name, request.state.database.name]
