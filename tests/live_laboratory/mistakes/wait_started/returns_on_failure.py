"""It stops waiting when the thread has ended, and says nothing.

Diagnosis: believes now that the server is up
"""

import asyncio
import threading

import uvicorn


async def wait_started(server: uvicorn.Server, thread: threading.Thread) -> None:
    """Return as soon as the server has started. Raise RuntimeError as soon as it is clear that it never will."""
    while not server.started and thread.is_alive():
        await asyncio.sleep(0.01)
