"""E3: a server that is asked to stop says bye to its streams, and stops."""

import ast
import asyncio
import statistics
import sys
from types import SimpleNamespace
from typing import Any

from app_snippets.server_sent_events.checks.apart import GRACE, Apart, apart
from app_snippets.server_sent_events.checks.common import Heard, count, heard, require_stream
from workbench import clock
from workbench.answer import Answer
from workbench.judging import NotYet, exercise
from workbench.load import Call, heartbeat
from workbench.waiting import until

PATH, NAME = "/events", "server_sent_events/graceful_end"
TRIED = f"two listeners, and SIGTERM to the server, which gives open requests {GRACE} s"
LONGEST = 1.0  # seconds until the exit
CERTAIN = 1.25  # seconds that no busy machine explains
NEVER = GRACE + 0.8  # seconds after which it will not stop any more
EXPECTED = "`bye` at both, and an exit within 1 s"


@exercise(
    "A graceful end",
    asks_for="app",
    hints=[
        "When does the code after `yield` in a lifespan run: before the streams have ended, or after? Who hears of "
        "SIGTERM first?",
        "signal.signal(signal.SIGTERM, …) in the lifespan sets an Event in the moment the signal comes. The handler "
        "that was there before, signal.getsignal(signal.SIGTERM), is the server's own: call it too.",
        "def tell(number, frame): loop.call_soon_threadsafe(stopping.set), then servers_own(number, frame). In the "
        "stream: asyncio.wait_for(stopping.wait(), EVERY) in place of the sleep, TimeoutError suppressed.",
    ],
    deadline=20,
)
async def graceful_end(answer: Answer) -> str:
    """SIGTERM while two clients listen."""
    if sys.platform == "win32":
        raise NotYet(
            tried="to send SIGTERM to your app",
            expected="Linux or macOS",
            seen="Windows",
            diagnosis="Windows has no SIGTERM that a process can handle, so this exercise cannot be judged here. "
            "It can on Linux, on macOS, in WSL and on Binder.",
        )
    await answer.load()
    trial = _Trial(answer)
    took = await trial.stopped()
    return f"Both listeners saw `bye`, and the server had stopped {1000 * took:,.0f} ms after SIGTERM."


class _Trial:
    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    async def stopped(self) -> float:
        with apart(self.answer.source, NAME) as server:
            if not await server.started():
                raise NotYet(
                    tried="to start your app with uvicorn, in a process of its own",
                    expected="an app that starts",
                    seen=server.said or "the process ended",
                    diagnosis=f"The app does not start: {server.said or 'the process ended'}.",
                )
            both = [Heard(Call(number, PATH, clock.now())) for number in range(2)]
            listening = [asyncio.create_task(heard(server.url, PATH, timeout=GRACE + 6, into=one)) for one in both]
            try:
                return await self.told(server, both)
            finally:
                for task in listening:
                    task.cancel()
                await asyncio.gather(*listening, return_exceptions=True)

    async def told(self, server: Apart, both: list[Heard]) -> float:
        await until(lambda: all(one.events or one.ended or one.broken for one in both), 2.5)
        free = await _free(server.url)
        for one in both:
            if one.call.status is not None and not one.events:
                require_stream(one, "two listeners")
        if not free:
            raise NotYet(
                tried="two listeners, and a heartbeat on /ping",
                expected="a free loop",
                seen="each ping had to wait",
                diagnosis="The stream looks for the end in a way that holds the loop: nobody else is served meanwhile. "
                "A threading.Event and time.sleep wait for their thread; an asyncio.Event is awaited.",
            )
        if not all(one.events for one in both):
            raise NotYet(
                tried="two listeners",
                expected="a tick at each, at once",
                seen=f"{count(sum(bool(one.events) for one in both), 'listener')} with a tick",
                diagnosis="The stream breaks before its first tick: its endpoint raised an exception. Is there, under "
                "the same name, what it looks for in `request.state`? That is what the lifespan yields."
                if any(one.broken for one in both)
                else "The stream says nothing at first. It begins with a tick, as it did.",
            )
        begun = clock.now()
        took = await server.terminated(NEVER)
        await until(lambda: all(one.ended or one.broken for one in both), 0.5 if took else 0.0)
        byes = [next((event.at - begun for event in one.events if event.kind == "bye"), None) for one in both]
        self.require(took, byes, both)
        assert took is not None
        return took

    def require(self, took: float | None, byes: list[float | None], both: list[Heard]) -> None:
        said = [bye for bye in byes if bye is not None]
        seen = f"`bye` at {['none', 'one', 'both'][len(said)]}, " + (
            f"the exit after {1000 * took:,.0f} ms" if took is not None else f"and no exit within {NEVER:g} s"
        )
        if took is None:
            if said:
                why = (
                    "The streams have said bye, and the server runs on: your handler took the place of the server's "
                    "own, which nobody calls any more. Call it too."
                )
            else:
                why = (
                    "Neither the streams nor the server have heard of the signal. The server has a handler of its own "
                    "for SIGTERM: what takes its place must call it."
                )
            raise NotYet(tried=TRIED, expected=EXPECTED, seen=seen, diagnosis=why)
        if any("event: bye" in one.raw and bye is None for one, bye in zip(both, byes, strict=True)):
            raise NotYet(
                tried=TRIED,
                expected=EXPECTED,
                seen="`event: bye`, and no data",
                diagnosis="The event `bye` has no line `data:`, and a client passes over an event without data.",
            )
        if not said:
            raise NotYet(tried=TRIED, expected=EXPECTED, seen=seen, diagnosis=self.why_no_bye(took, both))
        if len(said) == 1:
            raise NotYet(
                tried=TRIED,
                expected=EXPECTED,
                seen=seen,
                diagnosis="One listener was told, and the other was not. All streams must hear of the end: an Event "
                "that stays set wakes all who wait for it.",
            )
        if took <= LONGEST:
            return
        if max(said) > LONGEST:
            why = (
                "The streams say bye, and too late: they hear of the end when their sleep is over. Wait for the Event "
                "with a timeout in place of the sleep, and it wakes them."
            )
        else:
            why = "Both streams said bye at once, and something kept the server from stopping: end the stream after it."
        raise NotYet(tried=TRIED, expected=EXPECTED, seen=seen, diagnosis=why)

    def why_no_bye(self, took: float, both: list[Heard]) -> str:
        if took < GRACE - 0.2:
            others = [one.kinds[-1] for one in both if one.kinds and one.kinds[-1] != "message"]
            if others:
                return f"The streams end at once, and their last event is `{others[0]}`. Its name should be `bye`."
            if all(one.ended for one in both):
                return "The streams end at once, without a word. Yield the event `bye` after the loop."
            return (
                "The process ended with its streams in the middle: whoever listened sees a broken connection. Let the "
                "streams say bye and end; then the server stops by itself."
            )
        if _catches_cancellation(self.answer.source):
            return (
                f"The stream speaks when it is cancelled. That is {GRACE} s late, when the server has lost its "
                "patience, and what is cancelled cannot send any more. Tell the stream before, when the signal comes."
            )
        return (
            "The end of the lifespan comes too late: the server waits for its streams first, and cancels them when it "
            f"has waited for {GRACE} s. Only then does the code after `yield` run. The signal is what comes first."
        )


async def _free(url: str) -> bool:
    """Whether /ping is answered promptly: the best of three looks, each of some pings."""
    for _ in range(3):
        where: Any = SimpleNamespace(url=url)
        async with heartbeat(where, timeout=0.5) as beat:
            await asyncio.sleep(0.15)
        if beat.pings and not beat.failures and statistics.median(took for _, took in beat.pings) < 0.05:
            return True
    return False


def _catches_cancellation(source: str) -> bool:
    """Only to choose between two diagnoses."""
    names = ("CancelledError", "BaseException", "GeneratorExit")
    tree = ast.parse(source)
    caught = [
        ast.dump(node.type) if node.type else "BaseException"
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
    ]
    yields_at_last = any(
        isinstance(inner, ast.Yield)
        for node in ast.walk(tree)
        if isinstance(node, ast.Try)
        for last in node.finalbody
        for inner in ast.walk(last)
    )
    return yields_at_last or any(name in one for one in caught for name in names)
