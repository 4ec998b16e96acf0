"""A thread looks, and may block."""

import asyncio
import threading
import time

import uvicorn


async def wait_started(server: uvicorn.Server, thread: threading.Thread) -> None:
    """Return as soon as the server has started. Raise RuntimeError as soon as it is clear that it never will."""

    def look() -> None:
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError("the server's thread has ended, and it never started")
            time.sleep(0.01)

    await asyncio.to_thread(look)
