"""WRONG: a number is read before an await and written after it. Whoever comes between is forgotten."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI, Request


@dataclass
class Shop:
    sold: int = 0


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Shop]]:
    yield {"shop": Shop()}


app = FastAPI(lifespan=lifespan)


async def print_ticket(number: int) -> None:
    await asyncio.sleep(0.02)


@app.get("/ticket")
async def ticket(request: Request) -> int:
    shop = request.state.shop
    number = shop.sold + 1
    await print_ticket(number)
    shop.sold = number
    return number


@app.get("/sold")
async def sold(request: Request) -> int:
    return request.state.shop.sold
