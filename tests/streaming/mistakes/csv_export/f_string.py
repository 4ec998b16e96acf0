"""A stream, with lines put together by f-string.

Diagnosis: put together by hand
"""

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


@app.get("/orders.csv", response_class=CSVResponse)
async def export(orders: Annotated[Orders, Depends()]) -> AsyncIterator[str]:
    yield ",".join(HEADER) + "\r\n"
    async for customer, note, total in orders.rows():
        yield f"{customer},{note},{total}\r\n"
