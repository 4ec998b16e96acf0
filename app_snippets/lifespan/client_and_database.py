"""A client and a database pool, opened in this order and closed in reverse, whatever fails."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated, Any, TypedDict

import httpx
from fastapi import Depends, FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from starlette.requests import HTTPConnection


class State(TypedDict):
    client: httpx.AsyncClient
    engine: AsyncEngine


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[State]:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=os.environ["SERVICES_URL"]))
        engine = create_async_engine(os.environ["DATABASE_URL"])
        stack.push_async_callback(engine.dispose)
        async with engine.begin() as connection:  # a wrong address is found out now, not by the first caller
            await connection.execute(text("CREATE TABLE IF NOT EXISTS visits (product TEXT)"))
        yield {"client": client, "engine": engine}


async def get_state(connection: HTTPConnection) -> State:
    return State(client=connection.state.client, engine=connection.state.engine)


app = FastAPI(lifespan=lifespan)


@app.get("/price")
async def price(state: Annotated[State, Depends(get_state)]) -> dict[str, Any]:
    async with state["engine"].begin() as connection:
        await connection.execute(text("INSERT INTO visits VALUES ('lamp')"))
        visits = await connection.scalar(text("SELECT count(*) FROM visits"))
    return {"price": (await state["client"].get("/price")).json(), "visits": visits}
