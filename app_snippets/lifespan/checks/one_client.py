"""How the exercise "One client for all requests" is judged."""

import ast
import asyncio
import contextlib
import functools
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from workbench.around import Call, Reply, Upstream, ask, burst, upstream
from workbench.judge import (
    Answer,
    NotYet,
    Probe,
    exercise,
    failure_in_words,
    functions,
    innermost,
    place_in_words,
    said,
    where_it_is,
)
from workbench.server import LiveServer, ServeError, serve

CALLS = 24
MOST = 2  # connections for all of them, one after another
AT_ONCE = 8
NOTED = ("__init__", "send")  # methods of a client


@exercise(
    "One client for all requests",
    asks_for="app",
    hints=[
        "How often does FastAPI call a dependency, and how often a lifespan?",
        "What a lifespan yields, a dict, is in `request.state` of each request to the server that it was started for.",
        "`async with httpx.AsyncClient(…) as client: yield {'client': client}` in a lifespan that FastAPI gets as "
        "`lifespan=`, and a get_client(request: Request) that returns request.state.client.",
    ],
)
async def one_client(answer: Answer) -> str:
    """Few connections for many calls, two servers that do not get into each other's way, all clients closed."""
    with _clients_built() as clients, _service("first") as first, _service("second") as second:
        os.environ["SERVICES_URL"] = first.url
        await _loaded(answer)
        at_import = len(clients.built)
        with await _served(answer, "one server", name="answer") as server:
            connections = await _require_few_connections(answer, server, first, clients.built)
            await _require_side_by_side(server, first, clients.built)
            os.environ["SERVICES_URL"] = second.url
            made = Made(clients, at_import, len(clients.built))
            with await _served(answer, "a second server with the same app", name="other") as other:
                await _require_own(
                    answer, other, second, "the second server's `/price`, while both run", first, made, SECOND
                )
                await _require_own(
                    answer, server, first, "the first server's `/price`, while both run", second, made, FIRST
                )
            await _require_own(
                answer, server, first, "the first server's `/price`, after the second has stopped", second, made, FIRST
            )
            await asyncio.to_thread(other.stop)
        await asyncio.to_thread(server.stop)
    if left := [client for client in clients.built if not client.is_closed]:
        raise Probe("to stop the servers", "all clients closed").saw(
            f"{len(left)} of {len(clients.built)} still open",
            "A client is opened and never closed: its connections stay behind when the server stops. Open it with "
            "`async with`, and yield inside the block.",
        )
    return f"{CALLS} calls, {connections} connection{'s'[: connections - 1]} upstream; two servers at once, all closed."


Client = httpx.Client | httpx.AsyncClient


CELL, FIRST, SECOND = "when the cell was run", "by the first server", "by the second server"


@dataclass
class Clients:
    """The clients that the answer built, in order, and those that sent something, the last one last."""

    built: list[Client] = field(default_factory=list)
    used: list[Client] = field(default_factory=list)


@dataclass(frozen=True)
class Made:
    """Who built a client: the first `at_import` were built by the cell, the rest up to `before_second` by the first."""

    clients: Clients
    at_import: int
    before_second: int

    @property
    def maker(self) -> str:
        """Who built the client that was used last."""
        number = next((i for i, one in enumerate(self.clients.built) if one is self.clients.used[-1]), 0)
        return CELL if number < self.at_import else FIRST if number < self.before_second else SECOND


@contextlib.contextmanager
def _clients_built() -> Iterator[Clients]:
    """The clients that the answer builds and uses, in its threads; the check's own are built in the main thread."""
    clients = Clients()
    kept = [(kind, name, getattr(kind, name)) for kind in (httpx.Client, httpx.AsyncClient) for name in NOTED]

    def noting(function: Callable[..., Any], into: list[Client]) -> Callable[..., Any]:
        @functools.wraps(function)
        def noted(self: Client, *args: Any, **options: Any) -> Any:
            if threading.current_thread() is not threading.main_thread():
                into.append(self)
            return function(self, *args, **options)

        return noted

    for kind, name, function in kept:
        setattr(kind, name, noting(function, clients.built if name == "__init__" else clients.used))
    try:
        yield clients
    finally:
        for kind, name, function in kept:
            setattr(kind, name, function)


def _service(name: str) -> Upstream:
    number = secrets.randbelow(1_000_000)
    return upstream({"/price": Reply(0, number), "/stock": Reply(0, number + 1)}, name=name)


async def _loaded(answer: Answer) -> None:
    try:
        await answer.load()
    except NotYet as error:
        if "FastAPIError" not in error.verdict.seen or "Request[" not in answer.source:
            raise
        raise error.because(
            "FastAPI knows `Request`, and takes `Request[State]` for the type of a field in the request. Annotate the "
            "parameter with plain `Request`; the type of the client is what get_client returns."
        ) from None


async def _served(answer: Answer, what: str, name: str) -> LiveServer:
    """As `answer.served`, under a name of its own."""
    app = await answer.load()
    try:
        return await asyncio.to_thread(serve, app, name=name, start_timeout=2.5)
    except ServeError as error:
        cause = error.__cause__ or error
        where = place_in_words(innermost(cause.__traceback__)) or (
            type(cause).__name__ if error.__cause__ else where_it_is()
        )
        why = f"{error}"
        if "object is not iterable" in why or "cannot convert dictionary" in why:
            why += ". What a lifespan yields is its state, a dict: `{'client': client}`."
        if "'function' object does not support" in why or "ContextManager' object is not callable" in why:
            why += ". FastAPI calls the lifespan itself: hand over the function, `lifespan=lifespan`."
        if "Cannot open a client instance more than once" in why or "has been closed" in why:
            why = (
                "The client is made once, when the cell is run, and opened again with each server: a client that was "
                "closed cannot be opened again. Make it in the lifespan."
            )
        raise Probe(f"to start {what}", "an app that starts").saw(where, why) from error


async def _asked(server: LiveServer, path: str) -> Call:
    return await ask(server, path, timeout=3)


async def _require_few_connections(answer: Answer, server: LiveServer, service: Upstream, built: list[Client]) -> int:
    tried = f"{CALLS} calls, one after another"
    ports: set[int | None] = set()
    asked = 0
    while asked < CALLS and len(ports) <= 3 * MOST:
        path = ("/price", "/stock")[asked % 2]
        service.replies[path] = Reply(0, secrets.randbelow(1_000_000))
        _require_answer(answer, await _asked(server, path), service, tried, built)
        asked += 1
        ports = {one.client_port for one in service.server.record.requests}
    if len(ports) <= MOST:
        return len(ports)
    probe = Probe(tried, f"{MOST} connections to the service at most")
    seen = f"{len(ports)} connections after {asked} calls"
    if len(built) >= asked:
        why = "A client is built for each request"
        if not isinstance(built[-1], httpx.AsyncClient):
            why += ": `httpx.get` and its siblings do that, and hold the loop until the answer is there"
        elif answer.changed("price") and _opened_in(answer.source, "price"):
            why += ", in the endpoint"
        elif _opened_in(answer.source, "get_client"):
            why += ": FastAPI calls a dependency again each time, and what is opened in it lives as long as the request"
            if not any(one.is_closed for one in built):
                why = "A client is built for each request, and never closed: FastAPI calls a dependency again each time"
        raise probe.saw(seen, f"{why}. What is to outlive requests is opened in the lifespan.")
    raise probe.saw(
        seen,
        "The client is shared, and its connections are not: it closes each of them after one answer. Leave its "
        "keep-alive as it is.",
    )


def _require_answer(
    answer: Answer, call: Call, service: Upstream, tried: str, built: list[Client] | None = None
) -> None:
    expected = service.replies[call.path].body
    if call.status == 200 and call.parsed == expected:
        return
    error = call.request.error if call.request else None
    words = failure_in_words(call)
    if call.status == 200:
        words = {"seen": said(call), "diagnosis": f"`{call.path}` no longer answers with what the service said."}
    elif isinstance(error, AttributeError) and "'State' object has no attribute" in str(error):
        lost = str(error).rpartition("attribute ")[2].strip("'")
        words["diagnosis"] = (
            f"Nothing put `{lost}` where get_client looks for it. What a lifespan yields, `{{'{lost}': …}}`, is in "
            "`request.state`. `app.state` is another thing: it has what somebody set there."
        )
        if built == []:
            words["diagnosis"] = (
                f"There is no `{lost}`, and no client was ever made: your lifespan did not run. FastAPI runs the one "
                "that it is given: `FastAPI(lifespan=lifespan)`."
            )
    elif isinstance(error, AttributeError) and "'coroutine' object" in str(error):
        words["diagnosis"] = "A call of the client was made and not awaited: what it gives is a coroutine."
    elif isinstance(error, RuntimeError) and "async with" in ast.unparse(_function(answer.source, "get_client")):
        words["diagnosis"] = (
            "get_client opens the shared client again, and closes it after the request. It only hands it out: return "
            "it. The lifespan opens and closes it."
        )
    elif isinstance(error, RuntimeError) and "client has been closed" in str(error) and service.asked:
        words["diagnosis"] = (
            "The first call was answered, and then the client was closed: it outlives its requests. Only the lifespan "
            "closes it, at the end."
        )
    elif call.status == 422:
        words["diagnosis"] = (
            "FastAPI takes a parameter of get_client for a field of the request, and the caller does not send it. What "
            "is annotated with `Request` is the request itself."
        )
    elif isinstance(error, RuntimeError) and "client has been closed" in str(error):
        words["diagnosis"] = (
            "The client that is handed out is closed already: its `async with` block has ended. Yield inside the block."
        )
    raise Probe(tried, f"`{expected}` from `{call.path}`").saw(**words)


async def _require_side_by_side(server: LiveServer, service: Upstream, built: list[Client]) -> None:
    """Calls at once are at the service together: it answers when all have come, or after a while."""
    kept = dict(service.replies)
    service.replies.update(
        {path: replace(reply, ready=lambda: service.peak >= AT_ONCE, patience=0.3) for path, reply in kept.items()}
    )
    service.forget()
    try:
        made = await burst(server, ["/price", "/stock"], AT_ONCE, timeout=3)
    finally:
        service.replies.update(kept)
    if made.statuses == [200] * AT_ONCE and service.peak == AT_ONCE:
        return
    why = "The client is shared, and lets a few calls at a time go out: a limit on its connections, or a semaphore."
    if service.peak <= 1:
        why = "The connection is shared, and the calls take turns: a lock or a limit lets only one in."
    if service.peak <= 1 and isinstance(built[-1], httpx.Client):
        why = "The connection is shared, and the calls take turns: a synchronous client holds the loop, one call long."
    elif failed := [call for call in made.calls if call.status != 200]:
        why += f" {len(failed)} of the calls failed: {said(failed[0])}."
    raise Probe(f"{AT_ONCE} calls at once", "all of them at the service together").saw(
        f"at most {service.peak} at the service", f"{why} Calls one after another use one connection by themselves."
    )


async def _require_own(
    answer: Answer, server: LiveServer, service: Upstream, tried: str, others: Upstream, made: Made, its_own: str
) -> None:
    """A server asks the service whose address it was started with."""
    call = await _asked(server, "/price")
    if call.status == 200 and call.parsed == service.replies["/price"].body:
        return
    theirs = call.status == 200 and call.parsed == others.replies["/price"].body
    found = "what the other server's service says" if theirs else failure_in_words(call)["seen"]
    probe = Probe(tried, "what its own service says, whose address it was started with")
    app = await answer.load()
    if made.maker == its_own:
        when = "when the cell is run" if its_own == SECOND else "with each call"
        raise probe.saw(
            found,
            f"This server has a client of its own, and the address is not the one it was started with: it is read "
            f"{when}. Read SERVICES_URL in the lifespan, above the `yield`."
            if theirs
            else failure_in_words(call)["diagnosis"],
        )
    place = "in a place that both servers share"
    if any(isinstance(value, httpx.AsyncClient) for value in app.state._state.values()):
        place = "in `app.state`, and there is one `app` for both servers"
    elif "global " in answer.source:
        place = "in a global variable, so there is one for both servers"
    if its_own == FIRST:
        happened = "the second start put its own client in the place of the first one's"
        if made.maker != SECOND:
            happened = "the stop of the second server took it away"
        raise probe.saw(found, f"The client is {place}: {happened}. What a lifespan yields belongs to one server.")
    raise probe.saw(
        found,
        f"The client is made once for the whole module, {made.maker}. A second server has an event loop of its own, "
        "and a client's connections belong to the loop that opened them. Make it in the lifespan, and yield it.",
    )


def _function(source: str, name: str) -> ast.AST:
    return next((one for one in functions(source) if one.name == name), ast.Module([], []))


def _opened_in(source: str, name: str) -> bool:
    return "AsyncClient(" in ast.unparse(_function(source, name))
