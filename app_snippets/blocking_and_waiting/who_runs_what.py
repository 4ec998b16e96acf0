"""Which thread runs a dependency, and which an endpoint? Each of them decides for itself."""

import threading
from typing import Annotated

from fastapi import Depends, FastAPI

app = FastAPI()


def thread_name() -> str:
    return threading.current_thread().name


def plain_dependency() -> str:
    return thread_name()


async def async_dependency() -> str:
    return thread_name()


@app.get("/async-def")
async def async_endpoint(
    plain: Annotated[str, Depends(plain_dependency)], awaited: Annotated[str, Depends(async_dependency)]
) -> dict[str, str]:
    return {"def dependency": plain, "async def dependency": awaited, "async def endpoint": thread_name()}


@app.get("/plain-def")
def plain_endpoint(
    plain: Annotated[str, Depends(plain_dependency)], awaited: Annotated[str, Depends(async_dependency)]
) -> dict[str, str]:
    return {"def dependency": plain, "async def dependency": awaited, "def endpoint": thread_name()}
