"""The SDK was rewritten.

Diagnosis: is synchronous and not yours to change
"""

import asyncio
from typing import Annotated

from fastapi import Depends, FastAPI, Header

app = FastAPI()


async def look_up(token: str) -> str:
    """The directory's SDK. It is synchronous, and not ours to change."""
    await asyncio.sleep(0.2)
    return {"secret-1": "ada", "secret-2": "grace"}.get(token, "nobody")


async def get_settings() -> dict[str, str]:
    return {"currency": "EUR"}


async def get_user(token: Annotated[str, Header()] = "") -> str:
    return await look_up(token)


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
