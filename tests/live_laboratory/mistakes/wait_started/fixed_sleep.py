"""A pause of fixed length.

Diagnosis: a pause of fixed length
"""

import asyncio
import threading

import uvicorn


async def wait_started(server: uvicorn.Server, thread: threading.Thread) -> None:
    """Return as soon as the server has started. Raise RuntimeError as soon as it is clear that it never will."""
    await asyncio.sleep(0.5)
