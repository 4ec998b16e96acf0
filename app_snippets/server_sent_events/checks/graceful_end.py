"""E3: a server that is asked to stop says bye to its streams, and stops."""

import ast
import asyncio
import sys
from types import SimpleNamespace
from typing import Any

from app_snippets.server_sent_events.checks.apart import EVERY, GRACE, Apart, Stopped, apart
from app_snippets.server_sent_events.checks.common import Heard, count, heard, require_stream
from workbench import clock
from workbench.around import Call, heartbeat
from workbench.clock import until
from workbench.judge import Answer, Probe, calls, exercise, nodes, require_pings

PATH, NAME = "/events", "server_sent_events/graceful_end"
TRIED = f"two listeners, and SIGTERM to the server, which gives open requests {GRACE} s"
SOON = 0.75  # seconds until `bye`: half a second, as the task says, and what it takes on top to say it
AFTERWARDS = 1.0  # seconds from the end of the streams until the server has stopped; its own waits take 0.3 at most
PINGS = 5  # that are answered, one after the other, while one listens
EXPECTED = "`bye` at both within half a second, and an exit within a second after it"

WHY = {  # what was so when a stream had not heard of the end in half of GRACE
    "asleep": "The Event is set, and the stream does not look: it waits at {where}. Wait for the Event there, "
    "with EVERY as its timeout, and it wakes the stream at once.",
    "deaf": "A handler of yours is in place for SIGTERM, and a stream waits on at {where}. It must be woken, or look "
    "several times a second whether the end has come.",
    "cleared": "An Event was set, and cleared again at once: who looks afterwards does not see it. Leave it set: the "
    "server does not come back.",
    "another": "An Event was set, and not the one that the lifespan yields: the streams look at that one. Make one "
    "Event, set it in the handler and yield the same.",
    "unset": "A handler of SIGTERM is in place, and no Event was set a second later. Set it in the handler, with "
    "`loop.call_soon_threadsafe(stopping.set)`; a stream waits at {where}.",
    "early": "Your handler was in place when the cell was run, before the server started, and the server put its own "
    "in that place. Set yours in the lifespan, before `yield`: then the server has done so already.",
    "other": "You handle a signal, and not SIGTERM: that is what a server gets when it is asked to stop. SIGINT is "
    "Ctrl+C.",
}


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
            await self.ticks(server)
            server.slow()
            both = [Heard(Call(number, PATH, clock.now())) for number in range(2)]
            listening = []
            try:
                for one in both:
                    listening.append(asyncio.create_task(heard(server.url, PATH, timeout=GRACE + 20, into=one)))
                    await until(lambda one=one: one.events or one.ended or one.broken, 2.5)
                    self.require_tick(one)
                return await self.told(server, both)
            finally:
                for task in listening:
                    task.cancel()
                await asyncio.gather(*listening, return_exceptions=True)

    async def ticks(self, server: Apart) -> None:
        """One listener for a while: a free loop, and a tick every EVERY seconds. Raises NotYet."""
        one, begun = Heard(Call(0, PATH, clock.now())), clock.now()
        listening = asyncio.create_task(heard(server.url, PATH, timeout=GRACE + 20, into=one))

        def enough() -> bool:
            return one.ended or one.broken or (len(one.events) > 1 and clock.now() > begun + 2 * EVERY)

        try:
            await until(lambda: one.events or one.ended or one.broken, 2.5)
            await self.require_free(server)
            self.require_tick(one)
            await until(enough, 2.5)
            ticks, seconds = len(one.events), clock.now() - begun
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
        tried = f"one listener, and EVERY = {EVERY} s for the while"
        if one.ended or one.broken:
            raise Probe(tried, "one tick after the other").saw(
                f"{count(ticks, 'event')}, and a stream that {'broke' if one.broken else 'ended'}",
                "The stream does not outlive its first wait. A wait with a timeout raises TimeoutError when the time "
                "is over: that is no end here, but the moment for the next tick. Suppress it."
                if calls(self.answer.source, "wait_for") or calls(self.answer.source, "timeout")
                else "The stream breaks after a tick: its endpoint raised an exception. Fix that first."
                if one.broken
                else "The stream ends, and nobody has asked the server to stop. Until then it ticks.",
            )
        if ticks < 2:
            raise Probe(tried, "a second tick when EVERY seconds are over").saw(
                f"{count(ticks, 'tick')} in {seconds:.1f} s",
                "The next tick does not come. A wait for the end alone has no timeout: what wakes the stream is the "
                "end, or that EVERY seconds are over, whichever comes first.",
            )
        if ticks > 2 + seconds / EVERY:
            raise Probe(tried, "a tick every EVERY seconds").saw(
                f"{count(ticks, 'tick')} in {seconds:.1f} s",
                "The stream ticks more often than every EVERY seconds. It may look for the end as often as it likes, "
                "or wait for it; a tick is sent when EVERY seconds are over.",
            )

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
                WHY["asleep"].format(where=stopped.where)  # and for the one, its sleep was over just then
                if stopped.why == "asleep" and stopped.where
                else "One listener was told, and the other was not. All streams must hear of the end: an Event that "
                "stays set wakes all who wait for it.",
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
        if stopped.why in WHY:
            return WHY[stopped.why].format(where=stopped.where or "a line of yours")
        if _catches_cancellation(self.answer.source):
            return (
                f"The stream speaks when it is cancelled. That is {GRACE} s late, when the server has lost its "
                "patience, and what is cancelled cannot send any more. Tell the stream before, when the signal comes."
            )
        if stopped.why == "unheard":
            return (
                "No stream was told: no handler of yours is in place for SIGTERM, and no Event was set. One waits at "
                f"{stopped.where or 'a line of yours'}, until the server cancels it after {GRACE} s."
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
