"""It takes a slow start for a failed one.

Diagnosis: A slow start was taken for a failed one
"""

import asyncio
import threading

import uvicorn


async def wait_started(server: uvicorn.Server, thread: threading.Thread) -> None:
    """Return as soon as the server has started. Raise RuntimeError as soon as it is clear that it never will."""
    for _ in range(30):
        if server.started:
            return
        await asyncio.sleep(0.01)
    raise RuntimeError("it did not start")
