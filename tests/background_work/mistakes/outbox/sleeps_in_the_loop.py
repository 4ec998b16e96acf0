"""The relay waits with time.sleep.

Diagnosis: The relay waits with something that is not awaited
"""

import asyncio
import os
import sqlite3
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any

import httpx
from fastapi import BackgroundTasks, FastAPI, Request

EVERY = 0.05  # seconds between two looks at the outbox

SCHEMA = """
CREATE TABLE IF NOT EXISTS users (address TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS outbox (key TEXT PRIMARY KEY, address TEXT, sent INTEGER DEFAULT 0);
"""


def database() -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(os.environ["DATABASE"], timeout=5))


async def send(client: httpx.AsyncClient, address: str, key: str) -> None:
    """Ask the mail service for a welcome. For one key it sends one mail, however often it is asked."""
    response = await client.post("/mails", json={"to": address}, headers={"Idempotency-Key": key})
    response.raise_for_status()


def unsent() -> list[tuple[str, str]]:
    with database() as db:
        return db.execute("SELECT key, address FROM outbox WHERE NOT sent").fetchall()


def mark_sent(key: str) -> None:
    with database() as db, db:
        db.execute("UPDATE outbox SET sent = 1 WHERE key = ?", (key,))


async def relay(client: httpx.AsyncClient) -> None:
    while True:
        for key, address in await asyncio.to_thread(unsent):
            try:
                await send(client, address, key)
            except httpx.HTTPError:
                continue  # it stays in the outbox, and is tried again
            await asyncio.to_thread(mark_sent, key)
        time.sleep(EVERY)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    with database() as db:
        db.executescript(SCHEMA)
    async with httpx.AsyncClient(base_url=os.environ["MAILS_URL"]) as client:
        relaying = asyncio.create_task(relay(client))
        yield {"client": client}
        relaying.cancel()


app = FastAPI(lifespan=lifespan)


@app.get("/users")
def users() -> list[str]:
    with database() as db:
        return [address for (address,) in db.execute("SELECT address FROM users")]


@app.post("/sign-up/{address}", status_code=201)
def sign_up(address: str) -> str:
    with database() as db, db:  # the second `db`: one transaction, committed at the end of the block
        db.execute("INSERT INTO users VALUES (?)", (address,))
        db.execute("INSERT INTO outbox (key, address) VALUES (?, ?)", (str(uuid.uuid4()), address))
    return "welcome"
