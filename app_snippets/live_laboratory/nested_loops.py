"""What nest_asyncio does to a process, told by the process itself: one line for each fact."""

import asyncio
import time

import nest_asyncio


async def main() -> str:
    return "it ran"


async def nested() -> str:
    coroutine = main()
    try:
        return asyncio.run(coroutine)
    except RuntimeError as error:
        coroutine.close()
        return str(error)


async def tasks(n: int) -> None:
    for _ in range(n):
        await asyncio.create_task(asyncio.sleep(0))


def fastest(runs: int = 5) -> float:
    """Seconds for 1,000 tasks, the best of some runs: the rest is noise."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        asyncio.run(tasks(1_000))
        times.append(time.perf_counter() - start)
    return min(times)


print("asyncio.run inside a loop:", asyncio.run(nested()))
print("tasks are written in", "Python" if asyncio.Task.__module__ == "asyncio.tasks" else "C")
before = fastest()
nest_asyncio.apply()
print("after apply():", asyncio.run(nested()))
print("tasks are written in", "Python" if asyncio.Task.__module__ == "asyncio.tasks" else "C")
print("times as slow:", round(fastest() / before, 2))
