"""Pauses that grow, up to a tenth of a second."""

import asyncio
import threading

import uvicorn


async def wait_started(server: uvicorn.Server, thread: threading.Thread) -> None:
    """Return as soon as the server has started. Raise RuntimeError as soon as it is clear that it never will."""
    pause = 0.001
    while not server.started:
        if not thread.is_alive():
            raise RuntimeError("the server's thread has ended, and it never started")
        await asyncio.sleep(pause)
        pause = min(2 * pause, 0.1)
