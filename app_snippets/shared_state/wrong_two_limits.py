"""WRONG: two limits, taken in one order here and in the other there. Two requests can wait for each other."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, FastAPI


async def database() -> AsyncIterator[str]:
    await asyncio.sleep(0.1)  # it takes a moment to connect
    yield "database"


async def archive() -> AsyncIterator[str]:
    await asyncio.sleep(0.1)
    yield "archive"


Database = Annotated[str, Depends(database, max_concurrency=1)]
Archive = Annotated[str, Depends(archive, max_concurrency=1)]

app = FastAPI()


@app.get("/store")
async def store(database: Database, archive: Archive) -> str:
    return f"{database} to {archive}"


@app.get("/restore")
async def restore(archive: Archive, database: Database) -> str:
    return f"{archive} to {database}"
