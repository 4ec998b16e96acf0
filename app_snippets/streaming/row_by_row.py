"""A CSV export that leaves batch by batch while the database is read."""

import csv
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import aiosqlite
from fastapi import Depends, FastAPI, Request
from fastapi.responses import StreamingResponse

NAMES = ["Screw, 4 mm", 'Pipe 3"', "Nut\nand bolt", "=1+1", *(f"Part {number}" for number in range(4, 1000))]
PAIRS = "SELECT one.name, other.name, one.rowid - other.rowid FROM parts AS one, parts AS other LIMIT ?"
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would run when a text begins with it


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Path]]:
    with tempfile.TemporaryDirectory() as folder:
        async with aiosqlite.connect(path := Path(folder) / "parts.db") as database:
            await database.execute("CREATE TABLE parts (name TEXT)")
            await database.executemany("INSERT INTO parts VALUES (?)", [(name,) for name in NAMES])
            await database.commit()
        yield {"path": path}


async def connect(request: Request) -> AsyncIterator[aiosqlite.Connection]:
    async with aiosqlite.connect(request.state.path) as database:
        yield database


class CSVResponse(StreamingResponse):
    media_type = "text/csv"


class Line:
    def write(self, text: str) -> str:
        return text  # and writerow returns it: nothing is kept


def harmless(row: Any) -> list[Any]:
    return [f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell for cell in row]


app = FastAPI(lifespan=lifespan)


@app.get("/parts.csv", response_class=CSVResponse)
async def pairs(database: Annotated[aiosqlite.Connection, Depends(connect)], rows: int = 1000) -> AsyncIterator[str]:
    writer: Any = csv.writer(Line())
    yield writer.writerow(["part", "instead of", "difference"])
    cursor = await database.execute(PAIRS, (rows,))
    while batch := await cursor.fetchmany(100):
        yield "".join([writer.writerow(harmless(row)) for row in batch])
