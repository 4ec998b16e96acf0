"""It polls `/`, which need not exist.

Diagnosis: The app was asked for `/`
"""

import asyncio
import threading

import httpx
import uvicorn


async def wait_started(server: uvicorn.Server, thread: threading.Thread) -> None:
    """Return as soon as the server has started. Raise RuntimeError as soon as it is clear that it never will."""
    async with httpx.AsyncClient() as client:
        while True:
            if server.started:
                port = server.servers[0].sockets[0].getsockname()[1]
                if (await client.get(f"http://127.0.0.1:{port}/")).status_code == 200:
                    return
            await asyncio.sleep(0.01)
