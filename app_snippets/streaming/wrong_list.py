"""WRONG: the export is made as a whole, by f-string, before its first byte leaves."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, TypedDict

import aiosqlite
from fastapi import Depends, FastAPI, Request
from fastapi.responses import PlainTextResponse

NAMES = ["Screw, 4 mm", 'Pipe 3"', "Nut\nand bolt", "=1+1", *(f"Part {number}" for number in range(4, 1000))]
PAIRS = "SELECT one.name, other.name, one.rowid - other.rowid FROM parts AS one, parts AS other LIMIT ?"


class State(TypedDict):
    path: Path


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[State]:
    with tempfile.TemporaryDirectory() as folder:
        async with aiosqlite.connect(path := Path(folder) / "parts.db") as database:
            await database.execute("CREATE TABLE parts (name TEXT)")
            await database.executemany("INSERT INTO parts VALUES (?)", [(name,) for name in NAMES])
            await database.commit()
        yield {"path": path}


async def connect(request: Request) -> AsyncIterator[aiosqlite.Connection]:
    async with aiosqlite.connect(request.state.path) as database:
        yield database


app = FastAPI(lifespan=lifespan)


@app.get("/parts.csv", response_class=PlainTextResponse)
async def pairs(database: Annotated[aiosqlite.Connection, Depends(connect)], rows: int = 1000) -> str:
    found = await database.execute_fetchall(PAIRS, (rows,))
    return "part,instead of,difference\n" + "".join(f"{one},{other},{less}\n" for one, other, less in found)
