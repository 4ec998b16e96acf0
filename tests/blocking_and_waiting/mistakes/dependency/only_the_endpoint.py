"""Only the endpoint was mended: its own work goes to a thread.

Diagnosis: The endpoint is not where it is held
"""

import asyncio
import time
from typing import Annotated

from fastapi import Depends, FastAPI, Header

app = FastAPI()


def look_up(token: str) -> str:
    """The directory's SDK. It is synchronous, and not ours to change."""
    time.sleep(0.2)
    return {"secret-1": "ada", "secret-2": "grace"}.get(token, "nobody")


async def get_settings() -> dict[str, str]:
    return {"currency": "EUR"}


async def get_user(token: Annotated[str, Header()] = "") -> str:
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
    await asyncio.to_thread(time.sleep, 0.05)
    return account
