"""What the exercises of "Streaming responses" are judged with."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from workbench import clock
from workbench.around import Call, look_up
from workbench.judge import Answer, Probe
from workbench.server import LiveServer


@dataclass
class Streamed:
    """One answer as it came, piece by piece. `call` is the whole of it, with the server's view."""

    call: Call
    pieces: list[float] = field(default_factory=list)  # when each came, in `clock.now()` seconds

    @property
    def cut_off(self) -> bool:
        return self.call.status is not None and self.call.error is not None

    @property
    def media_type(self) -> str:
        return self.call.headers.get("content-type", "").partition(";")[0].strip()


async def streamed(
    server: LiveServer,
    path: str,
    *,
    timeout: float = 4.0,
    keep: bool = True,
    on_piece: Callable[[bytes], object] = lambda piece: None,
) -> Streamed:
    """GET a path and read the answer as it comes. Where `on_piece` returns True, leave.

    keep: whether the body is kept in `call.body`.
    """
    call = Call(0, path, clock.now())
    found = Streamed(call)
    body = bytearray()
    try:
        async with server.client(timeout=timeout) as client, client.stream("GET", path) as response:
            call.status, call.headers = response.status_code, dict(response.headers)
            async for piece in response.aiter_raw():
                found.pieces.append(clock.now())
                if keep:
                    body += piece
                if on_piece(piece) is True:
                    break
    except httpx.HTTPError as error:
        call.error = f"no answer within {timeout:g} s" if isinstance(error, httpx.TimeoutException) else str(error)
    call.end = clock.now()
    call.body = bytes(body)
    await look_up(call, server, lambda one: one.path == path)
    return found


def patched(answer: Answer, name: str, **methods: Callable[..., object]) -> None:
    """Put the check's own methods in the place of those of a class of the cell. Raises NotYet where there is none."""
    given = answer[name]
    if not isinstance(given, type):
        raise Probe(f"to fill `{name}` with rows", f"the class `{name}`, as given").saw(
            f"no class `{name}`",
            f"`{name}` stands for what is not yours to change. Leave it as it was, and ask it for its rows.",
        )
    for method, function in methods.items():
        setattr(given, method, function)


def endpoint(answer: Answer, path: str) -> Callable[..., object] | None:
    """The function behind a path, to choose between two diagnoses. None where it is not found."""
    with contextlib.suppress(Exception):
        return next(one.endpoint for one in answer["app"].routes if getattr(one, "path", "") == path)
    return None
