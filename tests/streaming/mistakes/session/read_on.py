"""A task of its own reads the rows, to their end, whoever listens.

Diagnosis: read on and on for a client that has left
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


@app.get("/rows")
async def rows() -> AsyncIterator[int]:
    queue = asyncio.Queue()

    async def read() -> None:
        session = Session()
        await session.open()
        try:
            async for row in session.rows():
                queue.put_nowait(row)
        finally:
            await session.close()
            queue.put_nowait(None)

    reading = asyncio.create_task(read())
    while (row := await queue.get()) is not None:
        yield row
    await reading
