"""A file on disk is not a stream to write: FileResponse sends it in pieces, and the client may ask for a part."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Path]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.bin"
        path.write_bytes(bytes(range(256)) * 80_000)  # 20 MB
        yield {"path": path}


app = FastAPI(lifespan=lifespan)


@app.get("/report")
async def report(request: Request) -> FileResponse:
    return FileResponse(request.state.path, filename="report.bin")
