"""A crowd of quotes that wait for the exchange: what was seen of it, and what it says in words."""

import asyncio
from dataclasses import dataclass, field

from app_snippets.thread_limits.checks.common import endpoint
from workbench.around import Burst, Call
from workbench.judge import Answer, calls

CALLS = 60  # slow calls in flight
SEATS = 25  # that the exchange allows


@dataclass
class Crowd:
    """What was seen while the exchange kept everyone waiting."""

    threads: list[str]  # names of the threads that are in the cell's code
    limiters: int  # in use, the common one included
    semaphores: int
    total: float  # tokens of the common limiter, 0 where the loop did not say
    borrowed: int
    waiting: int
    peak: int = 0
    probes: dict[str, Call] = field(default_factory=dict)
    quotes: Burst | None = None  # None where a probe had no answer

    @property
    def stuck(self) -> list[str]:
        """The probes that had no answer as long as the exchange was closed."""
        return [path for path, call in self.probes.items() if call.status is None]


def who_starves(answer: Answer, crowd: Crowd) -> str:
    is_async = asyncio.iscoroutinefunction
    exhausted = crowd.total and crowd.borrowed >= crowd.total
    if crowd.stuck == ["/awaits"]:
        return _in_the_pool_of_asyncio(crowd)
    if "/health" not in crowd.stuck:
        return (
            "`/health` has got away from the crowd, and everyone else is still in it: the quotes hold all of the "
            "common threads, and every other plain `def` waits for one. Move the quotes out, not their neighbours."
        )
    if "/colleagues" not in crowd.stuck:
        return "`/health` waits for the same places as the quotes do. It must not share their pool."
    if not exhausted and "/awaits" in crowd.stuck:
        return (
            "Every call waits for a place now, not only the quotes: the limit is in a middleware, or in a dependency "
            "of the whole app. Put it where only the quotes pass."
        )
    if not exhausted:
        return "Every plain `def` waits, though the common pool has threads left: something else holds them up."
    if is_async(endpoint(answer, "/health")):
        return (
            "`/health` is an `async def` now, but `get_version` is a plain `def`, and FastAPI takes a common thread "
            "for each dependency of that kind. The quotes still hold all of them."
        )
    if crowd.total != 40:
        return (
            f"The common pool has {crowd.total:g} threads now, and it is still common: enough quotes hold all of them, "
            "and `/health` waits behind."
        )
    if any(name.startswith(("ThreadPoolExecutor", "asyncio_")) for name in crowd.threads):
        return (
            "The SDK runs in a pool of its own, but somebody waits for it in a common thread: each quote takes two "
            "threads, and the common ones run out as before. Let the handler be an `async def` that awaits."
        )
    if crowd.peak < crowd.borrowed:
        return (
            f"{crowd.peak} calls are at the exchange, and {crowd.borrowed:g} common threads are gone: the others wait "
            "for their turn inside a thread, and hold it meanwhile. Wait first, in the loop, and take a thread then."
        )
    if is_async(endpoint(answer, "/quotes/{symbol}")) and crowd.borrowed + crowd.waiting < CALLS:
        return (
            f"Something lets {crowd.borrowed + crowd.waiting} quotes in at a time. That is more than the "
            f"{crowd.total:g} common threads, so they run out before that limit is reached."
        )
    if crowd.semaphores >= CALLS:
        return (
            "Each request makes a semaphore of its own. Each of them has one user, and together they limit nothing: "
            "make one, in the lifespan."
        )
    if any(one.arg == "limiter" for call in calls(answer.source, "run_sync") for one in call.keywords):
        return (
            f"`limiter=` is given, and still the threads come from the common {crowd.total:g}: what it is given is "
            "None, or the common limiter itself."
        )
    if is_async(endpoint(answer, "/quotes/{symbol}")):
        return (
            f"The handler awaits its thread, but takes it from the common {crowd.total:g}, as every plain `def` does. "
            "Say which limiter the thread is to be counted by."
        )
    return (
        f"`quote` is a plain `def`, so each call takes one of the {crowd.total:g} common threads until the exchange "
        "answers. When they are gone, `/health` stands in the same queue."
    )


def of_asyncio(crowd: Crowd) -> bool:
    """Whether asyncio.to_thread makes the calls: on some machine its pool has just as many threads as are allowed."""
    return any(name.startswith("asyncio_") for name in crowd.threads)


def _in_the_pool_of_asyncio(crowd: Crowd) -> str:
    if not of_asyncio(crowd):
        return (
            "The executor of the quotes is the loop's default one, from which everything takes its thread that calls "
            "asyncio.to_thread. Keep it apart, and name it in run_in_executor."
        )
    return (
        "The thread comes from the pool of asyncio.to_thread. Its size is min(32, cores + 4), which lets "
        f"{crowd.peak} in on this machine and another number on the next one, and everything else that calls "
        "asyncio.to_thread shares it."
    )


def who_is_at_the_exchange(answer: Answer, crowd: Crowd) -> str:
    own = crowd.limiters - (crowd.borrowed > 0)
    pools = {name.rpartition("_")[0] for name in crowd.threads if name.startswith("ThreadPoolExecutor")}
    if of_asyncio(crowd):
        return _in_the_pool_of_asyncio(crowd)
    if crowd.peak == SEATS:
        return (
            f"{SEATS} calls are at the exchange, and {crowd.borrowed} common threads are gone: the others wait for "
            "their turn inside a thread, and enough of them take all. Wait first, in the loop, and take a thread then."
        )
    if crowd.peak > SEATS and len(pools) > 1:
        return (
            "Each request makes an executor of its own. Each of them has its limit, and together they have none: make "
            "one, in the lifespan."
        )
    if crowd.peak > SEATS and own > 1:
        return (
            "Each request makes a limiter of its own. Each of them has one user, and together they limit nothing: make "
            "one, in the lifespan."
        )
    if crowd.peak == CALLS and crowd.total > 40:
        return (
            "The common pool was made larger, so there is a thread for everybody today. Nothing keeps the quotes from "
            f"taking all of it tomorrow, and the exchange allows {SEATS}. They need a pool of their own."
        )
    if crowd.peak == CALLS and any(name.startswith("Thread-") for name in crowd.threads):
        return (
            "Each request starts a thread of its own, and nobody counts them. Take them from a pool that has a limit."
        )
    if crowd.peak > SEATS and crowd.peak in (CALLS, crowd.total) and not own and not pools:
        return (
            f"Nothing limits the quotes: {crowd.peak} of them are at the exchange, which allows {SEATS}. Keeping "
            "`/health` out of their way is one half; the other half is a limit for the quotes themselves."
        )
    if crowd.peak > SEATS:
        return f"The quotes have a limit of their own, and it is too large: the exchange allows {SEATS}."
    if crowd.peak == 1:
        return "The quotes take turns: one lock, or one thread, for all of them."
    return f"The quotes have a limit of their own, and it is smaller than it may be: the exchange allows {SEATS}."
