"""A long pause, and a look at the end.

Diagnosis: A fixed pause is too long for one app
"""

import asyncio
import threading

import uvicorn


async def wait_started(server: uvicorn.Server, thread: threading.Thread) -> None:
    """Return as soon as the server has started. Raise RuntimeError as soon as it is clear that it never will."""
    await asyncio.sleep(1.2)
    if not server.started:
        raise RuntimeError
