"""A thread waits for the end of the server's thread."""

import asyncio
import threading

import uvicorn


async def wait_started(server: uvicorn.Server, thread: threading.Thread) -> None:
    """Return as soon as the server has started. Raise RuntimeError as soon as it is clear that it never will."""
    ended = asyncio.create_task(asyncio.to_thread(thread.join))
    while not server.started:
        if ended.done():
            raise RuntimeError("the server's thread has ended, and it never started")
        await asyncio.sleep(0.01)
