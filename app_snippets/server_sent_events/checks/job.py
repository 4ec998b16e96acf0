"""The job of E1, and how the events of its stream are read."""

import json
from collections.abc import Callable
from typing import Any

from app_snippets.server_sent_events.checks.common import Heard, count
from app_snippets.server_sent_events.checks.looks import Looks
from app_snippets.server_sent_events.sse_client import Event
from workbench import clock
from workbench.judge import Probe, failure_in_words

LAST = ("end", "failed")
MORE = 0.5  # seconds that the last step takes longer at the most, until what came before has arrived

HOSTILE = ["plain", "two\nlines", "x\n\nevent: admin\ndata: log out", "a\rreturn", " indented", "Ærø ☂", "last"]
WHOLE = f"one client, and a job of {len(HOSTILE)} steps, some with newlines in their text"


class Schedule:
    """What the answer's job does while it is tried: a step each `each` seconds, then it is `over`.

    The last step is done in the moment in which the state is asked for. So who asks for the steps first, and then
    for the state, always misses it, and not only now and then. Where somebody `hears` of the steps, and the job is
    looked at during the last one, this is not done before half of the steps are heard of, or MORE is over.
    """

    def __init__(self) -> None:
        self.looks = Looks()  # while the last step is done
        self.set([])

    def set(
        self,
        texts: list[str],
        *,
        each: float = 0.0,
        last: float = 0.0,
        over: str = "done",
        hears: Callable[[], int] | None = None,
    ) -> None:
        self.texts, self.each, self.last, self.over, self.hears = texts, each, last or each, over, hears
        self.begun, self.finished, self.heard = 0.0, not each, 0  # it begins when it is looked at
        self.looks.clear()

    @property
    def long_step(self) -> tuple[float, float]:
        """When the last step begins, and when it is done at the earliest."""
        begins = self.begun + (len(self.texts) - 1) * self.each
        return begins, begins + self.last

    def state(self) -> str:
        now = self._look()
        if not self.finished and self._is_over(now):
            self.finished, self.heard = True, self.hears() if self.hears else 0
        return self.over if self.finished else "running"

    def steps(self) -> list[str]:
        now = self._look()
        if self.finished:
            return list(self.texts)
        return self.texts[: min(len(self.texts) - 1, int((now - self.begun) / self.each))]

    def _look(self) -> float:
        now = clock.now()
        self.begun = self.begun or now
        if not self.finished and now > self.long_step[0]:
            self.looks.note(now)
        return now

    def _is_over(self, now: float) -> bool:
        _, done = self.long_step
        if now < done:
            return False
        waits = self.hears and self.looks.first < done and self.hears() < len(self.texts) / 2
        return not waits or now > done + MORE


class Second:
    """Leave at the second event that ends something."""

    def __init__(self) -> None:
        self.ends = 0

    def __call__(self, event: Event) -> bool:
        self.ends += event.kind in LAST
        return self.ends == 2


class After:
    """Leave after so many steps, or at the end."""

    def __init__(self, steps: int, stay: bool) -> None:
        self.left, self.stay = steps, stay

    def __call__(self, event: Event) -> bool:
        self.left -= 1
        return event.kind in LAST or (self.left == 0 and not self.stay)


def steps_of(found: Heard) -> list[Event]:
    return [one for one in found.events if one.kind not in LAST]


def number_of(event: Event, texts: list[str]) -> int | None:
    """The step that an event is of, by its text: as it is, or as JSON, alone or in an object."""
    said: list[Any] = [event.data]
    try:
        value = json.loads(event.data)
        said += list(value.values()) if isinstance(value, dict) else [value]
    except ValueError:
        pass
    for number, text in enumerate(texts, start=1):
        plain = text.replace("\r\n", "\n").replace("\r", "\n")
        if any(one in (text, plain) for one in said):
            return number
    return None


def require_one_each(steps: list[Event]) -> None:
    """No event that has several steps, and no step in several events. Raises NotYet."""
    texts = {line for text in HOSTILE for line in text.splitlines() if text != line}
    if any(one.data in texts or one.data.strip('"') in texts for one in steps):
        seen, why = "an event for each line of a step", "A step is one event, whatever newlines are in its text."
    elif any(HOSTILE[0] in one.data and HOSTILE[-1] in one.data for one in steps) or (
        any(HOSTILE[0] in one.data and "lines" in one.data for one in steps)
    ):
        seen, why = "an event that holds several steps", "Each step is an event of its own, with an id of its own."
    else:
        return
    raise Probe(WHOLE, "an event for each step").saw(seen, f"{why} ServerSentEvent(data=…) carries any text as it is.")


def what_raised(found: Heard, error: BaseException | None) -> dict[str, str]:
    if found.call.status == 200 and error is not None:
        return {
            "seen": f"{count(len(steps_of(found)), 'step')}, and a connection that broke",
            "diagnosis": f"The endpoint of `{found.call.path}` raised {type(error).__name__}: {error}. Status 200 had "
            "gone out, so all that it can do is to break the connection. Fix that first.",
        }
    if found.call.status == 200:
        return {"seen": str(found.call.error), "diagnosis": "The stream broke in the middle."}
    return failure_in_words(found.call)
