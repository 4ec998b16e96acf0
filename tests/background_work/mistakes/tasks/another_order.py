"""The one that fails most often comes last.

Diagnosis: Another order does not make them independent
"""

import asyncio
import inspect
import logging
import os
import smtplib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import BackgroundTasks, FastAPI, Request
from fastapi.concurrency import run_in_threadpool

logger = logging.getLogger("sign-up")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    async with httpx.AsyncClient(base_url=os.environ["SERVICES_URL"]) as client:
        yield {"client": client}


app = FastAPI(lifespan=lifespan)


def send_welcome(address: str) -> None:
    host, port = os.environ["MAIL_HOST"], int(os.environ["MAIL_PORT"])
    with smtplib.SMTP(host, port, local_hostname="app.example", timeout=10) as smtp:
        smtp.sendmail("us@example.org", address, f"To: {address}\r\nSubject: Welcome\r\n\r\nHello.")


async def subscribe(client: httpx.AsyncClient, address: str) -> None:
    response = await client.post(f"/newsletter/{address}")
    response.raise_for_status()


async def audit(client: httpx.AsyncClient, address: str) -> None:
    response = await client.post(f"/audit/{address}")
    response.raise_for_status()


@app.post("/sign-up/{address}", status_code=201)
async def sign_up(address: str, request: Request, tasks: BackgroundTasks) -> str:
    client = request.state.client
    tasks.add_task(audit, client, address)
    tasks.add_task(subscribe, client, address)
    tasks.add_task(send_welcome, address)
    return "welcome"
