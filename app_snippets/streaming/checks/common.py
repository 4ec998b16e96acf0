"""What the exercises of "Streaming responses" are judged with."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from workbench import clock
from workbench.around import Call, look_up
from workbench.judge import Answer, NotYet, Probe, failure_in_words, said
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


def require_whole(found: Streamed, tried: str, expected: str) -> None:
    """The answer has status 200 and came to its end. Raises NotYet."""
    call = found.call
    if call.status == 200 and not found.cut_off:
        return
    seen = said(call) if call.status != 200 else f"status 200, and then {call.error}"
    words = failure_in_words(call)
    why = words["diagnosis"]
    error = call.request.error if call.request else None
    if found.cut_off and isinstance(error, AttributeError) and "encode" in str(error):
        why = (
            f"What was yielded is no text: StreamingResponse takes str or bytes, and it got {str(error).split()[0]} "
            "objects. Make each piece a line of text first."
            + " writerow() returns what write() of its file returned, and that of a StringIO is a number."
            * ("'int'" in str(error))
        )
    elif found.cut_off and error is not None:
        why = f"The stream broke off after its status 200 had gone out. {why}"
    raise Probe(tried, expected).saw(seen, why)


async def load(answer: Answer) -> None:
    """Run the cell. Raises NotYet, with a word on `yield` where FastAPI takes a promised iterator for a model."""
    try:
        await answer.load()
    except NotYet as refused:
        if "FastAPIError" not in refused.verdict.seen or "Iterator[" not in refused.verdict.diagnosis:
            raise
        raise refused.because(
            "The return type says that items come one by one, and the function returns them instead: FastAPI then asks "
            "what such an answer looks like, and cannot say. An endpoint is a stream where `yield` stands in its own "
            "body, not in a function inside it."
        ) from None
