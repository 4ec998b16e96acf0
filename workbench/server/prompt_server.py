"""uvicorn as the bench runs it."""

import asyncio
import contextlib
import socket

import uvicorn


class PromptServer(uvicorn.Server):
    """uvicorn without its 0.1 s ticks, so that stopping and serving again take milliseconds."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.stopping = asyncio.Event()

    def stop_soon(self) -> None:
        self.should_exit = True
        self.stopping.set()

    async def main_loop(self) -> None:
        while not await self.on_tick(0):  # refreshes the Date header
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), timeout=1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """The steps and their order are those of `uvicorn.Server.shutdown` (0.54)."""
        state = self.server_state
        for server in self.servers:
            server.close()
        for connection in list(state.connections):
            connection.shutdown()
        try:
            async with asyncio.timeout(self.config.timeout_graceful_shutdown):
                while state.connections or state.tasks:
                    await asyncio.sleep(0.005)
                for server in self.servers:
                    await server.wait_closed()
        except TimeoutError:
            for task in state.tasks:
                task.cancel(msg="Task cancelled, timeout graceful shutdown exceeded")
        await self.lifespan.shutdown()
