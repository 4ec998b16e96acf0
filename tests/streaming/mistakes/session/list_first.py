"""The rows are fetched as a list, by the endpoint.

Diagnosis: they come as a list
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, FastAPI


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


app = FastAPI()


async def get_session() -> AsyncIterator[Session]:
    session = Session()
    await session.open()
    try:
        yield session
    finally:
        await session.close()


@app.get("/rows")
async def rows(session: Annotated[Session, Depends(get_session)]) -> list[int]:
    return [row async for row in session.rows()]
