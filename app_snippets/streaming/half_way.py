"""A stream whose source fails after the second line. One endpoint lets it happen, one says so in a last line."""

from collections.abc import AsyncIterator
from typing import Literal

from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class Order(BaseModel):
    kind: Literal["order"] = "order"
    number: int


class End(BaseModel):
    kind: Literal["end"] = "end"
    complete: bool


async def orders(fail: bool) -> AsyncIterator[Order]:
    for number in range(4):
        if fail and number == 2:
            raise ConnectionError("the database has gone away")
        yield Order(number=number)


@app.get("/cut-off")
async def cut_off(fail: bool = True) -> AsyncIterator[Order]:
    async for order in orders(fail):
        yield order


@app.get("/with-an-end")
async def with_an_end(fail: bool = True) -> AsyncIterator[Order | End]:
    try:
        async for order in orders(fail):
            yield order
    except ConnectionError:
        yield End(complete=False)
    else:
        yield End(complete=True)
