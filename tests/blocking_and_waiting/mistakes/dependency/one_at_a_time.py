"""A lock lets one call into the SDK at a time.

Diagnosis: something lets only 1 of them in at a time
"""

import asyncio
import threading
import time
from typing import Annotated

from fastapi import Depends, FastAPI, Header

app = FastAPI()

one_at_a_time = threading.Lock()


def look_up(token: str) -> str:
    """The directory's SDK. It is synchronous, and not ours to change."""
    time.sleep(0.2)
    return {"secret-1": "ada", "secret-2": "grace"}.get(token, "nobody")


async def get_settings() -> dict[str, str]:
    return {"currency": "EUR"}


def get_user(token: Annotated[str, Header()] = "") -> str:
    with one_at_a_time:
        return look_up(token)


async def get_account(
    user: Annotated[str, Depends(get_user)], settings: Annotated[dict[str, str], Depends(get_settings)]
) -> dict[str, str]:
    return {"user": user, **settings}


@app.get("/ping")
async def ping() -> str:
    return "pong"


@app.get("/orders")
async def orders(account: Annotated[dict[str, str], Depends(get_account)]) -> dict[str, str]:
    await asyncio.sleep(0.05)  # the database, asynchronous
    return account
