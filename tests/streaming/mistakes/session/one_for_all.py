"""One session, opened when the app starts.

Diagnosis: One session is shared by all requests
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, Request


class Session:
    """A session at a database. To close it takes a moment. It is not ours to change."""

    is_open = False

    async def open(self) -> None:
        self.is_open = True

    async def close(self) -> None:
        await asyncio.sleep(0.02)
        self.is_open = False

    async def rows(self) -> AsyncIterator[int]:
        for number in range(10):
            if not self.is_open:
                raise RuntimeError("the session is closed")
            yield number
            await asyncio.sleep(0.02)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Session]]:
    session = Session()
    await session.open()
    yield {"session": session}
    await session.close()


app = FastAPI(lifespan=lifespan)


@app.get("/rows")
async def rows(request: Request) -> AsyncIterator[int]:
    async for row in request.state.session.rows():
        yield row
