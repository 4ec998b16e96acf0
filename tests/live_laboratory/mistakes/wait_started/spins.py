"""It waits for `started`, which never comes when the start-up fails.

Diagnosis: which a thread swallows
"""

import asyncio
import threading

import uvicorn


async def wait_started(server: uvicorn.Server, thread: threading.Thread) -> None:
    """Return as soon as the server has started. Raise RuntimeError as soon as it is clear that it never will."""
    while not server.started:
        await asyncio.sleep(0.01)
