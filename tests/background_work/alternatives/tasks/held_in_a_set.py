"""Tasks of the loop, held in a set until they are done."""

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


async def guarded(task: Callable[..., Any], *arguments: Any) -> None:
    try:
        if inspect.iscoroutinefunction(task):
            await task(*arguments)
        else:
            await run_in_threadpool(task, *arguments)
    except Exception:
        logger.exception("the task %s%s failed", task.__name__, arguments)


running: set[asyncio.Task[None]] = set()


@app.post("/sign-up/{address}", status_code=201)
async def sign_up(address: str, request: Request) -> str:
    client = request.state.client
    for work in [(send_welcome, address), (subscribe, client, address), (audit, client, address)]:
        running.add(task := asyncio.create_task(guarded(*work)))
        task.add_done_callback(running.discard)
    return "welcome"
