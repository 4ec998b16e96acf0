"""Imported once by the process that judging processes are forked from, so that each finds everything loaded.

Much of FastAPI, uvicorn and httpx is imported at the first request only: this makes one.
"""

import asyncio
import atexit
import os
import shutil

from fastapi import FastAPI

from workbench.judge import process as judge  # noqa: F401
from workbench.judge.exercise import FORKSERVER_FOLDER
from workbench.server.live import serve


async def _rehearse() -> None:
    app = FastAPI()

    @app.get("/")
    def read() -> str:
        return "ready"

    with serve(app, name="rehearsal") as server:
        async with server.client() as client:
            await client.get("/")


asyncio.run(_rehearse())
# A kernel is ended hard, and then nobody else takes this process's own temporary files away.
atexit.register(shutil.rmtree, os.environ[FORKSERVER_FOLDER], ignore_errors=True)
