"""WRONG: this app can never start, because what it needs at start-up is not there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    raise ConnectionError("no database at db.internal")
    yield


app = FastAPI(lifespan=lifespan)
