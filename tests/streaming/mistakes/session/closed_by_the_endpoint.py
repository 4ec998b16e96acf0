"""The endpoint closes what its response still reads from.

Diagnosis: The endpoint closed the session
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, FastAPI
from fastapi.responses import StreamingResponse


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


async def lines(session: Session) -> AsyncIterator[str]:
    async for row in session.rows():
        yield f"{row}\n"


@app.get("/rows")
async def rows() -> StreamingResponse:
    session = Session()
    await session.open()
    response = StreamingResponse(lines(session), media_type="application/jsonl")
    await session.close()
    return response
