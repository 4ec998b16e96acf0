"""E3: a server that is asked to stop says bye to its streams, and stops."""

import ast
import asyncio
import sys
from types import SimpleNamespace
from typing import Any

from app_snippets.server_sent_events.checks.apart import GRACE, Apart, Stopped, apart
from app_snippets.server_sent_events.checks.common import Heard, count, heard, require_stream
from workbench import clock
from workbench.around import Call, heartbeat
from workbench.clock import until
from workbench.judge import Answer, Probe, exercise, nodes, require_pings

PATH, NAME = "/events", "server_sent_events/graceful_end"
TRIED = f"two listeners, and SIGTERM to the server, which gives open requests {GRACE} s"
SOON = 0.75  # seconds until `bye`: half a second, as the task says, and what it takes on top to say it
AFTERWARDS = 1.0  # seconds from the end of the streams until the server has stopped; its own waits take 0.3 at most
PINGS = 5  # that are answered, one after the other, while one listens
EXPECTED = "`bye` at both within half a second, and an exit within a second after it"


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
        raise Probe("to send SIGTERM to your app", "Linux or macOS").saw(
            "Windows",
            "Windows has no SIGTERM that a process can handle, so this exercise cannot be judged here. It can on "
            "Linux, on macOS, in WSL and on Binder.",
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
                raise Probe("to start your app with uvicorn, in a process of its own", "an app that starts").saw(
                    server.said or "the process ended", f"The app does not start: {server.said or 'the process ended'}."
                )
            both = [Heard(Call(number, PATH, clock.now())) for number in range(2)]
            listening = []
            try:
                for one in both:
                    listening.append(asyncio.create_task(heard(server.url, PATH, timeout=GRACE + 20, into=one)))
                    await until(lambda one=one: one.events or one.ended or one.broken, 2.5)
                    if one is both[0]:
                        await self.require_free(server)
                    self.require_tick(one)
                return await self.told(server, both)
            finally:
                for task in listening:
                    task.cancel()
                await asyncio.gather(*listening, return_exceptions=True)

    async def require_free(self, server: Apart) -> None:
        """While one listens, /ping is answered and the loop is free. Raises NotYet."""
        tried = "a listener, and a heartbeat on /ping"
        where: Any = SimpleNamespace(url=server.url)
        server.watch()
        async with heartbeat(where, timeout=1.0) as beat:
            await until(lambda: len(beat.pings) >= PINGS or beat.failures, 1.0)
        loop = await server.looked()
        if loop.held > 1 / 2 or any(not one.startswith("status") for one in beat.failures):
            raise Probe(tried, "a free loop").saw(
                f"it was held at {loop.where}" if loop.where else "no answer to a ping",
                "The stream looks for the end in a way that holds the loop: nobody else is served meanwhile. A "
                "threading.Event and time.sleep wait for their thread; an asyncio.Event is awaited.",
            )
        require_pings(beat, tried)

    def require_tick(self, one: Heard) -> None:
        """A listener has got a first tick. Raises NotYet."""
        if one.events:
            return
        if one.call.status is not None:
            require_stream(one, "two listeners")
        raise Probe("two listeners", "a tick at each, at once").saw(
            f"{count(one.call.number, 'listener')} with a tick",
            "The stream breaks before its first tick: its endpoint raised an exception. Is there, under the same name, "
            "what it looks for in `request.state`? That is what the lifespan yields."
            if one.broken
            else "The stream says nothing at first. It begins with a tick, as it did.",
        )

    async def told(self, server: Apart, both: list[Heard]) -> float:
        """SIGTERM just after a tick, so that a stream that sleeps has all of its sleep before it."""
        heard_of = await server.terminated()
        stopped = await server.stopped() if heard_of else None
        if not server.lives:
            await until(lambda: all(one.ended or one.broken for one in both), 2.5)
        byes = sum("bye" in one.kinds for one in both)
        seen = f"`bye` at {['none', 'one', 'both'][byes]}, "
        if server.lives:
            self.require_handed_on(heard_of, bool(byes), f"{seen}and a server that runs on")
        seen += f"the exit after {1000 * stopped.stopped:,.0f} ms" if stopped else "the process at an end"
        self.require(stopped, byes, both, seen)
        assert stopped is not None
        return stopped.stopped

    def require_handed_on(self, heard_of: bool, said: bool, seen: str) -> None:
        """Raises NotYet: the process runs on, because the server has not heard of the signal, or in spite of it."""
        if heard_of:
            why = (
                "The server has heard of the signal, and does not come to its end: what stands after `yield` in the "
                "lifespan, or a thread of yours, goes on."
            )
        elif said:
            why = (
                "The streams have said bye, and the server runs on: your handler took the place of the server's own, "
                "which nobody calls any more. Call it too."
            )
        else:
            why = (
                "Neither the streams nor the server have heard of the signal. The server has a handler of its own for "
                "SIGTERM: what takes its place must call it."
            )
        raise Probe(TRIED, EXPECTED).saw(seen, why)

    def require(self, stopped: Stopped | None, byes: int, both: list[Heard], seen: str) -> None:
        if any("event: bye" in one.raw and "bye" not in one.kinds for one in both):
            raise Probe(TRIED, EXPECTED).saw(
                "`event: bye`, and no data",
                "The event `bye` has no line `data:`, and a client passes over an event without data.",
            )
        if not byes or stopped is None:
            raise Probe(TRIED, EXPECTED).saw(seen, self.why_no_bye(stopped, both))
        if byes == 1:
            raise Probe(TRIED, EXPECTED).saw(
                seen,
                "One listener was told, and the other was not. All streams must hear of the end: an Event that stays "
                "set wakes all who wait for it.",
            )
        last = max(stopped.byes, default=0.0)
        if last > SOON:
            seen = f"`bye` after {1000 * last:,.0f} ms"
            why = (
                "The streams say bye, and too late: they hear of the end when their sleep is over. Wait for the Event "
                "with a timeout in place of the sleep, and it wakes them."
            )
        elif stopped.cut_off:
            why = "Both streams said bye at once, and something kept the server from stopping: end the stream after it."
        elif stopped.stopped - stopped.ended > AFTERWARDS:
            why = (
                "Both streams said bye and ended, and the server was kept from stopping: what stands after `yield` in "
                "the lifespan takes too long."
            )
        else:
            return
        raise Probe(TRIED, EXPECTED).saw(seen, why)

    def why_no_bye(self, stopped: Stopped | None, both: list[Heard]) -> str:
        if stopped is None or not stopped.cut_off:
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


def _catches_cancellation(source: str) -> bool:
    """Only to choose between two diagnoses."""
    names = ("CancelledError", "BaseException", "GeneratorExit")
    caught = [ast.dump(one.type) if one.type else "BaseException" for one in nodes(source, ast.ExceptHandler)]
    yields_at_last = any(nodes(last, ast.Yield) for one in nodes(source, ast.Try) for last in one.finalbody)
    return yields_at_last or any(name in one for one in caught for name in names)
