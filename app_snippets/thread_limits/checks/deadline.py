"""How the exercise "A deadline for a thread" is judged."""

import asyncio
import json
import os
import threading
from dataclasses import dataclass
from types import FrameType

from app_snippets.thread_limits.checks.common import failure, frames_in_the_cell, in_loop
from workbench import clock
from workbench.answer import Answer
from workbench.judging import NotYet, exercise, ms
from workbench.load import Call, heartbeat, look_up
from workbench.server import LiveServer
from workbench.upstream import Reply, Upstream, upstream

NAMES = ("large", "small", "later")
ROWS = 60  # of 20 ms each, and more
ROWS_BESIDE = 5
LATE = 0.75  # seconds; all rows together take 1.2 s or more
STILL_ALLOWED = 2  # rows after the answer: one is under way, and one may have passed its look at the clock
LONGEST_PING = 0.15
TRIED_EXPORT = f"an export of {ROWS} rows, more than fit into its 0.3 s"


@dataclass
class Exports:
    """One trial: a large export, and a small one beside it."""

    large: Call
    small: Call
    later: Call | None
    before: int  # rows of the large one that were asked for until its answer
    after: int  # and since
    longest_ping: float
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
)
async def deadline(answer: Answer) -> str:
    """504 soon after the deadline, no rows after it, and an export beside it that is completed."""
    os.environ["no_proxy"] = "127.0.0.1"
    with upstream({f"/{name}/*": Reply(0.02) for name in ("first", *NAMES)}, name="warehouse") as warehouse:
        os.environ["WAREHOUSE_URL"] = warehouse.url
        async with answer.served() as server:
            await _require_export(server, "first", 1)
            seen = await _exports(server, warehouse)
    _judge_large(answer, seen)
    for call in [seen.small, seen.later]:
        _require_small(call)
    return f"504 after {ms(seen.large.latency)}, nothing written after it, and the export beside it is complete."


async def _post(server: LiveServer, job: str, rows: int) -> Call:
    """Ask for an export. The Call is as of a burst, with the server's view of it."""
    path = f"/exports/{job}"
    call = Call(0, path, clock.now())
    async with server.client(timeout=4) as client:
        try:
            reply = await client.post(path, params={"rows": rows})
            call.status, call.body = reply.status_code, reply.content
        except Exception as error:
            call.error = f"{type(error).__name__}: {error}".rstrip(": ")
    call.end = clock.now()
    await look_up(call, server, lambda one: one.path == path)
    return call


async def _require_export(server: LiveServer, job: str, rows: int) -> None:
    call = await _post(server, job, rows)
    if call.status == 200 and call.body == b'{"written":1}':
        return
    common = {"tried": f"`POST /exports/{job}?rows={rows}`, which is soon done", "expected": '`{"written":1}`'}
    if call.status == 504:
        raise NotYet(
            **common,
            seen="status 504",
            diagnosis="Even one row misses the deadline: something takes long before it, or the deadline is over from "
            "the start.",
        )
    if call.status != 200:
        raise NotYet(**common, **failure(call))
    raise NotYet(
        **common,
        seen=f"`{call.body.decode(errors='replace')[:80]}`",
        diagnosis="A short export must be written, and say how many rows it wrote, as before.",
    )


async def _exports(server: LiveServer, warehouse: Upstream) -> Exports:
    def rows() -> int:
        return sum(path.startswith("/large/") for path in list(warehouse.asked))

    async with heartbeat(server, timeout=4) as beat:
        large = asyncio.create_task(_post(server, "large", ROWS))
        await asyncio.sleep(0.24)
        small = asyncio.create_task(_post(server, "small", ROWS_BESIDE))
        answered = await large
        before = rows()
        frames = frames_in_the_cell()
        threads = [thread.name for thread in frames]
        events = [one for mine in frames.values() for one in _events(mine)]
        if answered.latency < LATE:
            await asyncio.sleep(0.25)
        after = rows() - before
        if 0 < after <= STILL_ALLOWED:  # a busy machine writes slowly
            await asyncio.sleep(0.25)
            after = rows() - before
        later = await _post(server, "later", 1) if after <= STILL_ALLOWED else None
        beside = await small
        left = await in_loop(server, _still_waiting()) or False
    return Exports(answered, beside, later, before, after, beat.longest, threads, events, left)


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
    if seen.longest_ping > LONGEST_PING:
        raise NotYet(
            tried=TRIED_EXPORT + ", with a heartbeat on /ping",
            expected=f"no ping over {ms(LONGEST_PING)}",
            seen=f"one ping waited {ms(seen.longest_ping)}",
            diagnosis="The loop is held while rows are written or while somebody waits for the thread. In an "
            "`async def`, both have to be awaited.",
        )
    if large.status is None or large.status == 500:
        raise NotYet(tried=TRIED_EXPORT, expected="status 504", **failure(large))
    common = {"tried": TRIED_EXPORT, "expected": f"status 504 within {ms(LATE)}"}
    if large.latency > LATE:
        if large.status != 200:
            why = (
                "The answer says that it was too late, and says so when all of the work is done: something waited for "
                "the thread on the way out. A `with` block of an executor does, and so does a TaskGroup."
            )
        elif (is_async and any("AnyIO" in name for name in seen.threads)) or _uses_anyio(answer):
            why = (
                "AnyIO does not leave a thread behind: when its deadline passes, it goes on waiting until the "
                "function has returned, and then there is a result. The function itself must end earlier."
            )
        else:
            why = "Nothing ends the export at its deadline: the answer comes when all rows are written."
        raise NotYet(**common, seen=f"status {large.status} after {ms(large.latency)}", diagnosis=why)
    if seen.before < 3 and large.status == 200:
        raise NotYet(
            **common,
            seen=f"status 200, and {seen.before} rows written",
            diagnosis="An export that was over before has left its flag set, and this one stops at once. One event, or "
            "one flag, serves all requests: each request needs its own.",
        )
    if seen.before < 3:
        raise NotYet(
            **common,
            seen=f"{seen.before} rows written before the answer",
            diagnosis="The export is refused before it was tried. It has its 0.3 s, and uses them.",
        )
    if seen.after > STILL_ALLOWED:
        raise NotYet(
            tried=TRIED_EXPORT + ", and a look at the warehouse after the answer",
            expected="no more rows after the answer than the one under way",
            seen=f"status {large.status} after {ms(large.latency)}, and the rows went on",
            diagnosis=_who_writes_on(seen, is_async),
        )
    if large.status != 504:
        raise NotYet(
            **common,
            seen=f"status {large.status}: `{large.body.decode(errors='replace')[:80]}`",
            diagnosis="The export stops, but its answer does not say so: who reads it takes half of the rows for all "
            "of them. Answer 504.",
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
            "The answer is out, and a task still waits for the thread: a shield keeps a wait from being cancelled. "
            "The thread needs no protection, nothing can cancel it. It needs to be told."
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
    common = {
        "tried": f"an export of {ROWS_BESIDE} rows beside the large one, and one after it",
        "expected": "all of its rows written",
    }
    rows = 1 if "later" in call.path else ROWS_BESIDE
    said = call.body.decode(errors="replace")[:80]
    if call.status == 200 and json.loads(call.body) == {"written": rows}:
        return
    if call.status in (200, 504):
        raise NotYet(
            **common,
            seen=f"status {call.status}: `{said}`",
            diagnosis="The deadline of one export stopped another. One event, or one flag, serves all requests: each "
            "request needs its own.",
        )
    raise NotYet(**common, **failure(call))
