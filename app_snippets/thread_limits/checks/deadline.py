"""How the exercise "A deadline for a thread" is judged."""

import asyncio
import contextlib
import os
import threading
from collections import Counter
from dataclasses import dataclass
from types import FrameType

from fastapi import FastAPI

from app_snippets.thread_limits.checks.common import at_work, failure, in_loop, warm_up
from workbench import clock
from workbench.around import Call, Heartbeat, ask, heartbeat
from workbench.clock import until
from workbench.judge import Answer, Held, Probe, exercise, ms, require_pings, threads_in_the_cell
from workbench.server import LiveServer, serve

DEADLINE = 0.5  # seconds that the cell gives an export
ROWS, ROW = 100, 0.02  # of the large export, and seconds that the warehouse takes for each: 2 s in all
ROWS_BESIDE = 2
LATE = 1.0  # seconds: twice the deadline, and half of what all rows take
STILL_ALLOWED = 2  # rows after the answer: one is under way, and one may have passed its look at the clock
HANG = 8  # seconds after which nobody waits any longer
TRIED_EXPORT = f"an export of {ROWS} rows, more than fit into its {DEADLINE:g} s"


class Warehouse:
    """A service that writes rows, and counts those that it was asked for by their jobs."""

    def __init__(self) -> None:
        self.app = FastAPI(openapi_url=None)
        self.app.add_api_route("/{job}/{row}", self.write, methods=["POST"])
        self.asked = Counter[str]()
        self.answered = asyncio.Event()  # the large export: until then, the small one does not get any further
        self.hurried_from = 0.0  # when nobody can be in time any longer, the rest need not take as long

    async def write(self, job: str, row: int) -> None:
        self.asked[job] += 1
        if job == "small":
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2 * DEADLINE):
                    await self.answered.wait()
            return
        self.hurried_from = self.hurried_from or clock.now() + ROWS * ROW
        if clock.now() < self.hurried_from:
            await asyncio.sleep(ROW)


@dataclass
class Exports:
    """One trial: a large export, and a small one beside it."""

    large: Call
    small: Call
    later: Call | None
    before: int  # rows of the large one that were asked for until its answer
    after: int  # and since
    held: list[Held]
    beat: Heartbeat
    threads: list[str]
    events: list[threading.Event]
    left: bool  # whether a task of the loop still waits for the thread


@exercise(
    "A deadline for a thread",
    asks_for="app",
    hints=[
        "The answer goes out in time. Look at the warehouse's log after it: who is still writing, and who told it to "
        "stop?",
        "No timeout reaches into a thread. The function that runs there has to look up now and then, and be told.",
        "A `threading.Event()` for each request: `export` looks at `stop.is_set()` before each row, and the handler "
        "calls `stop.set()` when it leaves.",
    ],
    deadline=20,
)
async def deadline(answer: Answer) -> str:
    """504 soon after the deadline, no rows after it, and an export beside it that is completed."""
    os.environ["no_proxy"] = "127.0.0.1"
    warm_up()
    warehouse = Warehouse()
    with serve(warehouse.app, name="warehouse") as service:
        os.environ["WAREHOUSE_URL"] = service.url
        async with answer.served() as server:
            await _require_export(server, "first", 1)
            seen = await _exports(answer, server, service, warehouse)
    _judge_large(answer, seen)
    for call in [seen.small, seen.later]:
        _require_small(call)
    return f"504 after {ms(seen.large.latency)}, nothing written after it, and the export beside it is complete."


async def _post(server: LiveServer, job: str, rows: int) -> Call:
    """Ask for an export."""
    return await ask(server, f"/exports/{job}?rows={rows}", method="POST", timeout=HANG)


async def _require_export(server: LiveServer, job: str, rows: int) -> None:
    call = await _post(server, job, rows)
    if call.status == 200 and call.body == b'{"written":1}':
        return
    probe = Probe(f"`POST /exports/{job}?rows={rows}`, which is soon done", '`{"written":1}`')
    if call.status == 504:
        raise probe.saw(
            "status 504",
            "Even one row misses the deadline: something takes long before it, or the deadline is over from the start.",
        )
    if call.status != 200:
        raise probe.saw(**failure(call))
    raise probe.saw(
        f"`{call.text[:80]}`",
        "A short export must be written, and say how many rows it wrote, as before.",
    )


async def _exports(answer: Answer, server: LiveServer, service: LiveServer, warehouse: Warehouse) -> Exports:
    """A large export, and a small one that begins half a deadline later and ends after it."""

    def after() -> int:
        return warehouse.asked["large"] - before

    with answer.watched(server, shortest=0.01) as held:
        async with heartbeat(server, every=0.05, timeout=HANG) as beat:
            large = asyncio.create_task(_post(server, "large", ROWS))
            await until(lambda: warehouse.asked["large"] or large.done(), HANG)
            await asyncio.sleep(DEADLINE / 2)
            small = asyncio.create_task(_post(server, "small", ROWS_BESIDE))
            answered = await large
            before = warehouse.asked["large"]
            frames = threads_in_the_cell()
            threads = [thread.name for thread in frames]
            events = [one for mine in frames.values() for one in _events(mine)]
            assert service.loop is not None
            service.loop.call_soon_threadsafe(warehouse.answered.set)
            beside = await small
            await until(lambda: after() > STILL_ALLOWED or not at_work(server, answered), 1, progress=after)
            left = await in_loop(server, _still_waiting()) or False
            later = await _post(server, "later", 1) if after() <= STILL_ALLOWED else None
    return Exports(answered, beside, later, before, after(), held, beat, threads, events, left)


def _events(frames: list[FrameType]) -> list[threading.Event]:
    """The events that a thread's functions in the cell can see."""
    values = [value for frame in frames for value in (*frame.f_locals.values(), *frame.f_globals.values())]
    return [value for value in values if isinstance(value, threading.Event)]


async def _still_waiting() -> bool:
    """Whether a task that is not a request's waits in the cell or for a thread."""
    names = {getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks()}
    return bool(names & {"to_thread", "run_sync", "run_in_threadpool", "_shielded"})


def _judge_large(answer: Answer, seen: Exports) -> None:
    large = seen.large
    is_async = asyncio.iscoroutinefunction(answer["create_export"])
    held = sum(one.seconds for one in seen.held)
    if held > DEADLINE / 2:
        raise Probe(TRIED_EXPORT + ", with a heartbeat on /ping", "a loop that is free until the deadline").saw(
            f"held for {ms(held)}, at {max(seen.held, key=lambda one: one.seconds)}, and one ping waited "
            f"{ms(seen.beat.longest)}",
            "The loop is held while rows are written or while somebody waits for the thread. In an `async def`, both "
            "have to be awaited.",
        )
    require_pings(seen.beat, TRIED_EXPORT + ", with a heartbeat on /ping")
    if large.status is None or large.status == 500:
        raise Probe(TRIED_EXPORT, "status 504").saw(**failure(large))
    probe = Probe(TRIED_EXPORT, f"status 504 within {LATE:g} s")
    if large.latency > LATE:
        if large.status != 200:
            why = (
                "The answer says that it was too late, and says so when all of the work is done: something waited for "
                "the thread on the way out. A `with` block of an executor does, and so does a TaskGroup."
            )
        elif (is_async and any("AnyIO" in name for name in seen.threads)) or _uses_anyio(answer):
            why = (
                "AnyIO does not leave a thread behind: when its deadline passes, it goes on waiting until the function "
                "has returned, and then there is a result. The function itself must end earlier."
            )
        else:
            why = "Nothing ends the export at its deadline: the answer comes when all rows are written."
        raise probe.saw(f"status {large.status} after {ms(large.latency)}", why)
    if large.latency < DEADLINE / 2 and large.status == 200:
        raise probe.saw(
            f"status 200, and {seen.before} rows written",
            "An export that was over before has left its flag set, and this one stops at once. One event, or one flag, "
            "serves all requests: each request needs its own.",
        )
    if large.latency < DEADLINE / 2:
        raise probe.saw(
            f"status {large.status} after {ms(large.latency)}, and {seen.before} rows written",
            f"The export is refused before it was tried. It has its {DEADLINE:g} s, and uses them.",
        )
    if seen.after > STILL_ALLOWED:
        raise Probe(
            TRIED_EXPORT + ", and a look at the warehouse after the answer",
            "no more rows after the answer than the one under way",
        ).saw(f"status {large.status} after {ms(large.latency)}, and the rows went on", _who_writes_on(seen, is_async))
    if large.status != 504:
        raise probe.saw(
            f"status {large.status}: `{large.text[:80]}`",
            "The export stops, but its answer does not say so: who reads it takes half of the rows for all of them. "
            "Answer 504.",
        )


def _uses_anyio(answer: Answer) -> bool:
    return asyncio.iscoroutinefunction(answer["create_export"]) and answer["anyio"] is not None


def _who_writes_on(seen: Exports, is_async: bool) -> str:
    if any(event.is_set() for event in seen.events):
        return (
            "The event is set, and the thread does not look at it while it writes. Look before each row: between two "
            "looks, nothing can stop a thread."
        )
    if seen.events:
        return (
            "The thread looks at its event, and nobody sets it: when the deadline passes, only the wait ends. Set the "
            "event on the way out."
        )
    if seen.left:
        return (
            "The answer is out, and a task still waits for the thread: a shield keeps a wait from being cancelled. The "
            "thread needs no protection, nothing can cancel it. It needs to be told."
        )
    if any("ThreadPoolExecutor" in name for name in seen.threads):
        return (
            "The executor was told to cancel, perhaps, or left alone. A call that has begun cannot be taken back: "
            "cancel() reaches only those that still wait for a thread."
        )
    if is_async and any("AnyIO" in name for name in seen.threads):
        return (
            "The wait for the AnyIO thread was given up, and that is all that `abandon_on_cancel` or a timeout of "
            "asyncio's can do. The thread writes on, and its token is free again, so the limit is no longer one."
        )
    return (
        "The timeout cancelled the wait and left the thread as it was. The caller was told that the export had been "
        "stopped, and the thread writes every one of its rows."
    )


def _require_small(call: Call | None) -> None:
    if call is None:
        return
    probe = Probe(f"an export of {ROWS_BESIDE} rows beside the large one, and one after it", "all of its rows written")
    rows = 1 if "later" in call.path else ROWS_BESIDE
    said = call.text[:80]
    if call.status == 200 and call.parsed == {"written": rows}:
        return
    if call.status in (200, 504):
        raise probe.saw(
            f"status {call.status}: `{said}`",
            "The deadline of one export stopped another. One event, or one flag, serves all requests: each request "
            "needs its own.",
        )
    raise probe.saw(**failure(call))
