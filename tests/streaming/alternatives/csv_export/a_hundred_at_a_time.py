"""A hundred rows are collected as they are, and written together: as many as may be held."""

import csv
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends, FastAPI
from fastapi.responses import PlainTextResponse, StreamingResponse

HEADER = ["customer", "note", "total"]
FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Orders:
    """The table of orders. It is read as you ask for its rows, and not ours to change."""

    async def rows(self) -> AsyncIterator[tuple[str, str, int]]:
        for number in range(1000):
            yield f"Customer {number}", "by air, please", -number


app = FastAPI()


class CSVResponse(StreamingResponse):
    media_type = "text/csv"


class Line:
    def write(self, text: str) -> str:
        return text


def harmless(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell


@app.get("/orders.csv", response_class=CSVResponse)
async def export(orders: Annotated[Orders, Depends()]) -> AsyncIterator[str]:
    writer: Any = csv.writer(Line())
    yield writer.writerow(HEADER)
    batch: list[Any] = []
    async for row in orders.rows():
        batch.append(row)
        if len(batch) == 100:
            yield "".join([writer.writerow(map(harmless, one)) for one in batch])
            batch = []
    yield "".join([writer.writerow(map(harmless, one)) for one in batch])
