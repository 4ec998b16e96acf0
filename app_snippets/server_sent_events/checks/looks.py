"""How an answer looks at its job while that goes on: does it wait between two looks, and do others get their turn?"""

import contextlib
import math
import threading
from collections.abc import Iterator
from time import process_time, thread_time

from workbench.judge import at_each_turn
from workbench.server import LiveServer


class Looks:
    """The looks at a job, and the turns of the server's loop between them.

    Where the answer waits between two looks, the loop has nothing to do meanwhile. Where it is ready again at once,
    the loop never has nothing to do. Where it never awaits, the loop has no turn.
    """

    def __init__(self) -> None:
        self._loops_thread: int | None = None
        self._turns = self._idle = 0  # of the loop, and those before which it had nothing to do
        self.clear()

    def clear(self) -> None:
        """Forget those that were noted."""
        self.number = 0
        self.first = math.inf  # when the first one was
        self._again = self._rested = 0  # looks in another turn than the one before, and those after an idle one
        self._longest = 0.0  # seconds from a look to another one in the same turn
        self._busy = 0.0  # how much of what the process has computed was in the thread that looks, 1 for all of it
        self._since = self._at = 0.0  # the first look in this turn, and the last one
        self._computed = 0.0, 0.0  # by the thread and by the process, when that thread looked first
        self._last = 0, 0, 0  # the thread, turns and idle ones as of the last look

    def note(self, now: float) -> None:
        """Somebody looks at the job, at `now` by the clock."""
        here, by_thread, by_all = threading.get_ident(), thread_time(), process_time()
        thread, turns, idle = self._last
        if here != thread:
            self._since, self._computed = now, (by_thread, by_all)
        elif self._turns != turns:
            self._since = now
            self._again, self._rested = self._again + 1, self._rested + (self._idle != idle)
        self.number, self.first, self._at = self.number + 1, min(self.first, now), now
        self._longest = max(self._longest, now - self._since)
        thread_before, all_before = self._computed
        self._busy = (by_thread - thread_before) / (by_all - all_before) if by_all > all_before else 0.0
        self._last = here, self._turns, self._idle

    @property
    def stuck(self) -> bool:
        """Whether the loop had no turn for most of the time from the first look to the last."""
        return self._on_the_loop and self._longest > (self._at - self.first) / 2

    @property
    def restless(self) -> bool:
        """Whether it was most often ready to look again at once."""
        return self._again > 2 * self._rested if self._on_the_loop else self.computes

    @property
    def computes(self) -> bool:
        """Whether most was computed by the thread that looks. Where it sleeps, most is computed by the others."""
        return self._busy > 1 / 2

    @property
    def _on_the_loop(self) -> bool:
        return self._last[0] == self._loops_thread

    @contextlib.contextmanager
    def beside(self, server: LiveServer) -> Iterator[None]:
        """Count the turns of the server's loop for the length of the block."""
        self._loops_thread = server.thread.ident

        def count(idle: bool) -> None:
            self._turns += 1
            self._idle += idle

        with at_each_turn(server.loop, count):
            yield
