"""How the exercise "A deadline for a thread" is judged."""

import asyncio
import os
from dataclasses import dataclass

from app_snippets.thread_limits.checks.common import (
    endpoint,
    failure,
    in_loop,
    require_rest,
    require_sdk,
    share_of_the_loop,
    warm_up,
)
from app_snippets.thread_limits.checks.warehouse import DEADLINE, LATE, PASSED, Warehouse
from app_snippets.thread_limits.checks.writer import Writer, who_writes_on
from workbench.around import Call, Heartbeat, ask, heartbeat
from workbench.clock import until
from workbench.judge import (
    Answer,
    Held,
    Probe,
    calls,
    error_of,
    exercise,
    ms,
    require_pings,
    said,
    tasks_of_the_cell,
    threads_in_the_cell,
)
from workbench.server import LiveServer, serve

ROWS = 100  # of the large export
ROWS_BESIDE = 2
BEGUN_BY = 0.8 * DEADLINE  # the small export, which is asked for at half: from the first row of the large one
EARLY = 0.8 * DEADLINE
HANG = 8  # seconds after which nobody waits any longer
TRIED = f"an export of {ROWS} rows, more than fit into its {DEADLINE:g} s"
LOG = ", and a look at the warehouse's log"
BESIDE = f"an export of {ROWS_BESIDE} rows beside the large one, of the same job"


@dataclass
class Exports:
    """One trial: a large export, and a small one beside it."""

    large: Call
    machine: float  # seconds that the large one took on the machine's own clock, by which locks with a timeout go
    small: Call
    later: Call | None
    before: int  # rows of the large one that were asked for until its answer
    after: int  # and after the answer
    held: list[Held]
    beat: Heartbeat
    writers: list[Writer]  # the threads of the large one while it was under way
    still: list[Writer]  # and those after its answer
    left: bool  # whether a task of the loop still waits for the thread
    share: float  # of the time, in which the loop was at work


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
            await _require_export(server, warehouse)
            seen = await _exports(answer, server, service, warehouse)
    require_sdk(TRIED, "write_row", warehouse.clients)
    _require_free_loop(seen)
    _require_row_after_row(warehouse)
    _judge_large(answer, seen, warehouse)
    _require_small(seen.small, warehouse.rows["small"], BESIDE, ROWS_BESIDE)
    if warehouse.small_began > warehouse.passed - PASSED + BEGUN_BY:
        raise Probe(BESIDE, "rows of it while the large one is written").saw(
            "no row of it until the large one was answered",
            "The exports take turns: a lock, or one thread, for all of them. Each may write when it is asked for.",
        )
    if seen.later:
        _require_small(seen.later, warehouse.rows["later"], "an export of one row after the large one", 1)
    return f"504 after {ms(seen.large.latency)}, no row after the deadline, and the exports beside it are complete."


async def _post(server: LiveServer, job: str, rows: int) -> Call:
    """Ask for an export."""
    return await ask(server, f"/exports/{job}?rows={rows}", method="POST", timeout=HANG)


async def _require_export(server: LiveServer, warehouse: Warehouse) -> None:
    call, log = await _post(server, "first", 1), warehouse.rows["first"]
    if call.status == 200 and call.parsed == {"written": 1} and log == [0]:
        return
    probe = Probe("`POST /exports/first?rows=1`, which is soon done" + LOG, '`{"written":1}`, and row 0 in the log')
    if call.status == 504:
        raise probe.saw(
            "status 504",
            "Even one row misses the deadline: something takes long before it, or the deadline is over from the start.",
        )
    if call.status != 200:
        raise probe.saw(**failure(call))
    if not log:
        raise probe.saw(
            f"`{call.text[:80]}`, and no row in the log",
            "The thread stops before its first row: its event is set from the start, or it goes on while the event is "
            "set. `stop.is_set` without its parentheses is always true.",
        )
    raise probe.saw(
        f"`{call.text[:80]}`, and {_listed(log)} in the log",
        "A short export must be written, from row 0 on, and say how many rows it wrote, as before.",
    )


def _listed(rows: list[int]) -> str:
    return f"row {', '.join(map(str, rows[:5]))}" if rows else "no row"


async def _exports(answer: Answer, server: LiveServer, service: LiveServer, warehouse: Warehouse) -> Exports:
    """A large export, and a small one that begins half a deadline later and ends after it."""
    log, idle = warehouse.rows["large"], set(threads_in_the_cell())

    def mine() -> list[Writer]:
        return [Writer(thread.name, frames) for thread, frames in threads_in_the_cell().items() if thread not in idle]

    with answer.watched(server, shortest=0.01) as held:
        async with heartbeat(server, every=0.05, timeout=HANG) as beat:
            begun, ended = os.times().elapsed, list[tuple[float, int]]()
            large = asyncio.create_task(_post(server, "large", ROWS))
            large.add_done_callback(lambda _: ended.append((os.times().elapsed - begun, len(log))))
            await until(lambda: log or large.done(), HANG)
            await asyncio.sleep(DEADLINE / 2)
            writers = mine()
            small = asyncio.create_task(_post(server, "large", ROWS_BESIDE))
            share = await share_of_the_loop(server, DEADLINE / 5)
            answered = await large
            late = warehouse.late
            assert service.loop is not None
            service.loop.call_soon_threadsafe(warehouse.answered.set)
            beside = await small

            def at_work() -> bool:
                return bool(mine() or tasks_of_the_cell(server) or (answered.request and not answered.request.done))

            await until(lambda: warehouse.late - late > 2 or not at_work(), 1, progress=lambda: len(log))
            still, left = mine(), await in_loop(server, _still_waiting()) or False
            later = await _post(server, "later", 1) if warehouse.late <= 1 else None
    machine, before = ended[0]
    return Exports(answered, machine, beside, later, before, len(log) - before, held, beat, writers, still, left, share)


async def _still_waiting() -> bool:
    """Whether a task that is not a request's waits in the cell or for a thread."""
    names = {getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks()}
    return bool(names & {"to_thread", "run_sync", "run_in_threadpool", "_shielded"})


def _require_free_loop(seen: Exports) -> None:
    held = sum(one.seconds for one in seen.held)
    if held > DEADLINE / 2:
        raise Probe(TRIED + ", with a heartbeat on /ping", "a loop that is free until the deadline").saw(
            f"held for {ms(held)}, at {max(seen.held, key=lambda one: one.seconds)}, and one ping waited "
            f"{ms(seen.beat.longest)}",
            "The loop is held while rows are written or while somebody waits for the thread. In an `async def`, both "
            "have to be awaited.",
        )
    require_pings(seen.beat, TRIED + ", with a heartbeat on /ping")
    require_rest(TRIED, seen.share)


def _require_row_after_row(warehouse: Warehouse) -> None:
    log = warehouse.rows["large"]
    if warehouse.most_at_once > 1 or log != list(range(len(log))):
        raise Probe(TRIED + LOG, "row after row, from 0 on").saw(
            f"{warehouse.most_at_once} rows at once" if warehouse.most_at_once > 1 else f"{_listed(log)}, …",
            "An export writes its rows in their order, one after the other, and only its deadline ends it. Several at "
            "once are another export.",
        )


def _judge_large(answer: Answer, seen: Exports, warehouse: Warehouse) -> None:
    large, late = seen.large, warehouse.late
    allowed = 0 if warehouse.slow else 1  # the row under way at the deadline, which may come late
    probe = Probe(TRIED, f"status 504 within {LATE:g} s")
    if large.status is None or (error_of(large) and not isinstance(error_of(large), TimeoutError)):
        raise probe.saw(**failure(large))
    if late <= allowed and max(large.latency, seen.machine) < EARLY:
        raise probe.saw(
            f"status {large.status} after {ms(large.latency)}, and {seen.before} rows written", _early(seen)
        )
    if large.latency > LATE:
        raise probe.saw(f"status {large.status} after {ms(large.latency)}", _late(answer, seen))
    log = Probe(TRIED + LOG, "no row that begins after the deadline")
    what = f"status {large.status} after {ms(large.latency)}"
    if seen.still and seen.after <= allowed:
        raise log.saw(
            what + ", and a thread that stays",
            "The thread writes no more, and does not return either: it is lost for all others. Let its function end.",
        )
    if seen.still:
        raise log.saw(
            what + ", and the rows went on",
            who_writes_on(answer, seen.still, seen.left, early=large.latency < EARLY),
        )
    if late > allowed:
        raise log.saw(
            what + f", and {late} rows that began after the deadline",
            "The export does end, but later than at its deadline. Either the thread looks up only now and then, or "
            "what it looks at is not the deadline of its own request. Look before each row.",
        )
    if large.status != 504:
        raise probe.saw(said(large), _not_504(large))


def _early(seen: Exports) -> str:
    if seen.large.status == 200:
        return (
            "An export that was over before has left its flag set, and this one stops at once. One event, or one flag, "
            "serves all requests: each request needs its own."
        )
    if not seen.before:
        return f"The export is refused before it was tried. It has its {DEADLINE:g} s, and uses them."
    return (
        f"The export ends before its deadline. It has {DEADLINE:g} s, counted from its own request: a shorter timeout "
        "takes some of them away, and so does a deadline that belongs to another request."
    )


def _late(answer: Answer, seen: Exports) -> str:
    with_anyio = any("AnyIO" in one.name for one in seen.writers)
    if seen.before < ROWS:
        return f"The export ends before its last row, and not at its deadline, {DEADLINE:g} s after it was asked for."
    if seen.large.status != 200:
        return (
            "The answer says that it was too late, and says so when all of the work is done: something waited for the "
            "thread on the way out. A `with` block of an executor does, and so does a TaskGroup."
        )
    if (
        with_anyio
        and asyncio.iscoroutinefunction(endpoint(answer, "/exports/{job}"))
        and calls(answer.source, "fail_after")
    ):
        return (
            "AnyIO does not leave a thread behind: when its deadline passes, it goes on waiting until the function "
            "has returned, and then there is a result. The function itself must end earlier."
        )
    return (
        "Nothing ends the export at its deadline: the answer comes when all rows are written. A timeout for each row "
        "begins again with each of them."
    )


def _not_504(large: Call) -> str:
    if error_of(large):
        return "The deadline ends the export, and its TimeoutError becomes a 500. Catch it, and answer 504."
    if large.status == 200:
        return (
            "The export stops, but its answer does not say so: who reads it takes half of the rows for all of them. "
            "Answer 504."
        )
    return f"The export stops in time, and its answer has status {large.status}. 504, Gateway Timeout, is asked for."


def _require_small(call: Call, log: list[int], tried: str, rows: int) -> None:
    probe = Probe(tried + LOG, f'`{{"written":{rows}}}`, and as many rows in the log')
    seen = f"{said(call)}, and {len(log)} of {rows} rows in the log"
    if call.status == 200 and call.parsed == {"written": rows} and log == list(range(rows)):
        return
    if call.status not in (200, 504):
        raise probe.saw(**failure(call))
    if len(log) < rows or call.status == 504:
        raise probe.saw(
            seen,
            "The deadline of one export stopped another. One event, or one flag, serves all requests, or all of a job: "
            "each request needs its own.",
        )
    raise probe.saw(seen, "The rows are written, and the answer has another number, or they are written twice.")
