"""A generator of its own, handed to a StreamingResponse, in batches of fifty."""

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


class Line:
    def write(self, text: str) -> str:
        return text


def harmless(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell


async def written(orders: Orders) -> AsyncIterator[str]:
    writer: Any = csv.writer(Line(), quoting=csv.QUOTE_ALL, lineterminator="\n")
    batch = [writer.writerow(HEADER)]
    async for row in orders.rows():
        batch.append(writer.writerow([harmless(cell) for cell in row]))
        if len(batch) >= 50:
            yield "".join(batch)
            batch.clear()
    yield "".join(batch)


@app.get("/orders.csv")
async def export(orders: Annotated[Orders, Depends()]) -> StreamingResponse:
    return StreamingResponse(written(orders), media_type="text/csv")
