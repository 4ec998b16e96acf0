"""What nest_asyncio does to a process, told by the process itself: one line for each fact."""

import asyncio
import sys

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


def python_calls(n: int = 1_000) -> float:
    """Calls of Python functions for each of n tasks: what is written in C makes none."""
    events: list[str] = []
    sys.setprofile(lambda frame, event, argument: events.append(event))
    asyncio.run(tasks(n))
    sys.setprofile(None)
    return events.count("call") / n


print("asyncio.run inside a loop:", asyncio.run(nested()))
print("tasks are written in", "Python" if asyncio.Task.__module__ == "asyncio.tasks" else "C")
before = python_calls()
nest_asyncio.apply()
print("after apply():", asyncio.run(nested()))
print("tasks are written in", "Python" if asyncio.Task.__module__ == "asyncio.tasks" else "C")
print("times as many Python calls for each task:", round(python_calls() / before, 1))
