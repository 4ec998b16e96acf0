"""How the exercise "Measure a burst" is judged."""

import asyncio
import inspect
import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import httpx
from fastapi import FastAPI

from workbench import clock
from workbench.clock import until
from workbench.judge import Answer, Probe, exercise, ms, quoted
from workbench.server import LiveServer, serve

MANY, FEW = 24, 5  # calls of the two bursts; more than threads or connections that somebody thinks to be enough
PATIENCE = 0.5  # seconds for which an answer is kept back after the last call that came
WAITS = [0.55, 0.25, 0.1, 0.4, 0.7]  # seconds of the second burst's calls: the first to come is not the first to go
SHORTEST, LONGEST = min(WAITS), max(WAITS)
SPREAD = LONGEST - SHORTEST
ROUNDED = 0.05  # seconds that a latency may be off
TOGETHER = f"burst(url, {MANY}) of an endpoint that answers when all of them have come"
UNEVEN = f"burst(url, {FEW}) of an endpoint that takes {SHORTEST} to {LONGEST} s"


@dataclass
class Calls:
    """What was seen of a burst from below: who made the calls, and in which threads."""

    clients: list[httpx.AsyncClient] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)  # in which calls were made by synchronous clients
    begun: int = 0  # tasks that there were in the answer's loop while the first call was kept waiting

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note the calls of httpx for the length of the block."""
        asynchronous, synchronous = httpx.AsyncClient.send, httpx.Client.send

        async def send(client: httpx.AsyncClient, *args: Any, **kwargs: Any) -> httpx.Response:
            if all(client is not known for known in self.clients):
                self.clients.append(client)
            return await asynchronous(client, *args, **kwargs)

        def send_and_block(client: httpx.Client, *args: Any, **kwargs: Any) -> httpx.Response:
            self.threads.add(threading.get_ident())
            return synchronous(client, *args, **kwargs)

        with patch.object(httpx.AsyncClient, "send", send), patch.object(httpx.Client, "send", send_and_block):
            yield


@exercise(
    "Measure a burst",
    asks_for="burst",
    hints=[
        "How many calls are on their way while your code awaits the first one?",
        "A small coroutine makes one call and measures it: its clock starts inside. asyncio.gather runs n of them.",
        "One `async with httpx.AsyncClient() as client:` around everything; gather returns the list.",
    ],
)
async def burst(answer: Answer) -> str:
    """Concurrent calls through one client, each with its own latency: two bursts in one loop, as in a notebook."""
    measure = await answer.load()
    app = FastAPI()
    calls = Calls()
    loops: list[asyncio.AbstractEventLoop] = []
    came = here = 0
    all_came = asyncio.Event()
    waits = itertools.cycle(WAITS)

    @app.get("/together")
    async def together() -> None:
        nonlocal came, here
        came, here = came + 1, here + 1
        if came == 1:
            await until(lambda: here >= MANY, PATIENCE, lambda: came)
            calls.begun = len(asyncio.all_tasks(loops[0]))
            all_came.set()
        await all_came.wait()
        here -= 1

    @app.get("/uneven")
    async def uneven() -> None:
        await asyncio.sleep(next(waits))

    async def two_bursts() -> float:
        loops.append(asyncio.get_running_loop())
        with calls.noted():
            first = await _measured(TOGETHER, measure, f"{server.url}/together", MANY)
        _require_calls(server, "/together", TOGETHER, MANY)
        _require_client(calls)
        _require_together(server, calls)
        start = clock.now()
        second = await _measured(UNEVEN, measure, f"{server.url}/uneven", FEW, before=len(first))
        wall = clock.now() - start
        _require_calls(server, "/uneven", UNEVEN, FEW, before=MANY)
        _require_own(second, wall)
        return wall

    with serve(app, name="upstream") as server:
        wall = await answer.run(two_bursts, timeout=8)
    return f"{MANY} calls at once, through one client, then {FEW} in {wall:.2f} s, each with its own latency."


async def _measured(tried: str, measure: Any, url: str, n: int, before: int = 0) -> list[float]:
    """What a burst returns, as n numbers. Raises NotYet."""
    wanted = Probe(tried, f"a list of {n} floats")
    try:
        value = measure(url, n)
        value = await value if inspect.isawaitable(value) else value
    except RuntimeError as error:
        if "client" in str(error) and "closed" in str(error):
            raise wanted.saw(
                f"RuntimeError: {error}",
                "The burst before has closed this client, at the end of its `async with`, and a client cannot be "
                "opened again: open a new one in each burst, or leave one open."
                if "reopen" in str(error)
                else "The client was closed too early: at the end of its `async with`, and the calls came after that. "
                "Await all calls of a burst inside the block, and open a client in each burst, or leave one open.",
            ) from None
        raise
    if inspect.isawaitable(value) or _left(value):
        if inspect.iscoroutine(value):
            value.close()
        raise wanted.saw(
            quoted(value),
            "burst returned before its calls were made: what it returns is a coroutine, a task or a gather that "
            "somebody must still await. Await it in burst, inside the `async with`, while the client is open.",
        )
    try:
        seconds = [one + 0.0 for one in value] if value is not None else []
    except TypeError:
        raise wanted.saw(
            quoted(value),
            "What burst returns is not the latencies: return a list with the seconds that each call took.",
        ) from None
    if len(seconds) != n and len(asyncio.all_tasks()) > 1:
        raise wanted.saw(
            quoted(value),
            "burst returned before its calls had ended: their tasks are still at work. `await` the gather, or each "
            "task, inside the `async with`.",
        )
    if value is None:
        raise wanted.saw("None", "It returns nothing: is there a `return`?")
    if before and len(seconds) == before + n:
        raise wanted.saw(
            f"{len(seconds)} of them",
            "The latencies of the burst before are in it, too: make a new list in each call of burst.",
        )
    if len(seconds) != n:
        raise wanted.saw(f"{len(seconds)} of them", f"{n} calls have {n} latencies, one for each.")
    return seconds


def _left(value: object) -> bool:
    """Whether a list holds what must still be awaited."""
    return isinstance(value, list | tuple) and any(inspect.isawaitable(one) for one in value)


def _require_calls(server: LiveServer, path: str, tried: str, n: int, before: int = 0) -> None:
    """After so many requests before, the server got n GET requests of that path. Raises NotYet."""
    asked = [f"{one.method} {one.path}" for one in list(server.record.requests)[before:]]
    gets = Probe(tried, f"{n} GET requests at the server")
    other = next((one for one in asked if one != f"GET {path}"), "")
    if other:
        raise gets.saw(f"`{other}`", "Each of the n calls is one GET of the url, as it was given.")
    if not asked:
        raise gets.saw(
            "none",
            "No call came to the server. `client.get(url)` makes a coroutine, and calls nobody until it is awaited.",
        )
    if len(asked) != n:
        raise gets.saw(
            f"{len(asked)} requests",
            f"The server was asked {len(asked)} times: each of the n calls is one GET of the url.",
        )


def _require_client(calls: Calls) -> None:
    """One httpx.AsyncClient made all calls. Raises NotYet."""
    one = Probe(TOGETHER, "one httpx.AsyncClient for all calls")
    made = len(calls.clients)
    if made > 1:
        raise one.saw(
            f"{made} clients",
            f"The {MANY} calls are made by {made} clients. To build one costs tens of milliseconds of the processor "
            "each time, which your figures then contain: open one client around the burst.",
        )
    if made:
        return
    if threading.get_ident() in calls.threads:
        why = (
            "A synchronous client makes the calls, in the loop's own thread: while it waits for one answer, the loop "
            "stands still, and no other call can be made. Use an `httpx.AsyncClient`, and await its `get`."
        )
    elif calls.threads:
        why = (
            f"A synchronous client makes the calls, in {len(calls.threads)} threads: each call holds a thread for as "
            "long as it takes, or waits for one. An `httpx.AsyncClient` needs none: await its `get`."
        )
    else:
        why = "The calls were not made by httpx. An `httpx.AsyncClient` makes them all, and its `get` is awaited."
    raise one.saw("none", why)


def _require_together(server: LiveServer, calls: Calls) -> None:
    """All calls of the first burst were at the server at once. Raises NotYet."""
    peak = server.record.peak()
    if peak == MANY:
        return
    if peak > 1:
        why = (
            f"Something lets only {peak} calls go at a time: a semaphore, a limit of connections, groups that are "
            "awaited one after another. All n belong on their way at once."
        )
    elif calls.begun >= MANY:
        why = (
            f"All {MANY} calls were begun, and then they take turns: something lets only one of them go at a time, a "
            "lock, a semaphore or a limit of connections. Leave it out."
        )
    else:
        why = (
            "The calls go one after another: each is awaited before the next one is made. Make all n first, and "
            "await them together."
        )
    raise Probe(TOGETHER, f"{MANY} calls on their way at once").saw(f"never more than {peak} at once", why)


def _require_own(latencies: list[float], wall: float) -> None:
    """Each latency is that of one call. Raises NotYet."""
    extras = [seen - wait for seen, wait in zip(sorted(latencies), sorted(WAITS), strict=True)]
    shown = ", ".join(f"{one:.3f}" for one in latencies)
    if min(extras) < -ROUNDED or max(latencies) > wall + ROUNDED:
        raise Probe(UNEVEN, f"one latency for each, in seconds, within the {wall:.2f} s of the burst").saw(
            shown,
            "The figures are not the seconds that each call took. Read time.perf_counter() before and after the call, "
            "in seconds.",
        )
    apart = Probe(UNEVEN, f"latencies that differ by {SPREAD:.1f} s, as the calls do")
    if max(latencies) - min(latencies) < 2 * ROUNDED:
        raise apart.saw(
            shown,
            "All calls have the same latency, so one clock was read once for all of them: it started before the burst "
            "and was read at its end. Start and read the clock inside the coroutine that makes one call.",
        )
    if max(extras) - min(extras) > SPREAD / 2:
        raise apart.saw(
            shown,
            f"Some figures are up to {ms(max(extras))} longer than their call: the clock was read when another call, "
            "which takes longer, had ended. Start and read the clock inside the coroutine that makes one call.",
        )
