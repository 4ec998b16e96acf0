"""The job of E1, and how the events of its stream are read."""

import json
from typing import Any

from app_snippets.server_sent_events.checks.common import Heard, count
from app_snippets.server_sent_events.sse_client import Event
from workbench import clock
from workbench.words import failure_in_words

LAST = ("end", "failed")


class Schedule:
    """What the answer's job does while it is tried: a step each `each` seconds, then it is `over`.

    The last step is done in the moment in which the state is asked for. So who asks for the steps first, and then
    for the state, always misses it, and not only now and then.
    """

    def __init__(self) -> None:
        self.set([])

    def set(self, texts: list[str], *, each: float = 0.0, last: float = 0.0, over: str = "done") -> None:
        self.texts, self.each, self.last, self.over = texts, each, last or each, over
        self.begun, self.looks, self.finished = 0.0, 0, not each  # it begins when it is looked at

    @property
    def long_step(self) -> tuple[float, float]:
        """When the last step begins, and when it is done."""
        begins = self.begun + (len(self.texts) - 1) * self.each
        return begins, begins + self.last

    def state(self) -> str:
        self._look()
        self.finished = self.finished or clock.now() >= self.long_step[1]
        return self.over if self.finished else "running"

    def steps(self) -> list[str]:
        self._look()
        if self.finished:
            return list(self.texts)
        return self.texts[: min(len(self.texts) - 1, int((clock.now() - self.begun) / self.each))]

    def _look(self) -> None:
        now = clock.now()
        self.begun = self.begun or now
        self.looks += now > self.long_step[0]


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


def what_raised(found: Heard, error: BaseException | None) -> dict[str, str]:
    if found.call.status == 200 and error is not None:
        return {
            "seen": f"{count(len(steps_of(found)), 'step')}, and a connection that broke",
            "diagnosis": f"The endpoint of `{found.call.path}` raised {type(error).__name__}: {error}. "
            "Status 200 had gone out, so all that it can do is to break the connection. Mend that first.",
        }
    if found.call.status == 200:
        return {"seen": str(found.call.error), "diagnosis": "The stream broke in the middle."}
    return failure_in_words(found.call)
