"""What an answer to "Request id and true duration" wrote by log_request, as the server's log has it."""

import contextlib
import re
from collections import Counter
from dataclasses import dataclass

from app_snippets.middleware.checks.common import OVER
from workbench.clock import until
from workbench.judge import Probe
from workbench.server import LiveServer
from workbench.server.record import Request

LATE = 0.4  # seconds that a missing line gets, once its request is over
LINE = re.compile(r"request id=(?P<id>.*) path=(?P<path>\S*) status=(?P<status>\S*) seconds=(?P<seconds>\S*)$")


@dataclass(frozen=True)
class Line:
    """A line that log_request wrote."""

    id: str
    path: str
    status: str
    seconds: float


@dataclass(frozen=True)
class Log:
    """The lines of a server, beside the requests that it had."""

    server: LiveServer

    def lines(self, path: str = "") -> list[Line]:
        """All lines, or those of a path."""
        found = [match for line in list(self.server.logs) if (match := LINE.search(line))]
        lines = [Line(one["id"], one["path"], one["status"], _number(one["seconds"])) for one in found]
        return [line for line in lines if path in ("", line.path)]

    def _requests(self) -> list[Request]:
        return list(self.server.record.requests)

    async def lines_of(self, path: str, since: int = 0) -> list[Line]:
        """The lines of a path from the `since`th on, once its requests are over and there is one, or after a while."""
        await until(lambda: not any(one.path == path and one.done is None for one in self._requests()), OVER)
        await until(lambda: self.lines(path)[since:], LATE)
        return self.lines(path)[since:]

    async def require_line(self, path: str, id: str, status: str, since: int = 0) -> Line:
        """The one line that the last request to a path has left."""
        found = await self.lines_of(path, since)
        probe = Probe(f"a call of {path}", f"one line of log_request with `id={id[:40]}` and `status={status}`")
        elsewhere = [line.path for line in self.lines() if line.id == id and line.path != path]
        if not found and elsewhere:
            raise probe.saw(f"`path={elsewhere[0]}`", "The line has another path than the request: `scope['path']`.")
        if not found:
            raise probe.saw(
                "no line",
                "The request left no line in the log. Call log_request() once for each request, when the app has "
                "returned.",
            )
        if len(found) > 1:
            raise probe.saw(
                f"{len(found)} lines",
                "One request, more than one line: log_request() is called for each message that is sent, or in two "
                "places. Call it once, when the app has returned.",
            )
        line = found[0]
        if line.id != id:
            raise probe.saw(
                f"`id={line.id[:40]}`",
                "log_request() reads `request_id`, and the variable is not set at that moment. Log first, reset after."
                if line.id == "-"
                else "The line has an id, but not that of its request.",
            )
        if line.status != status:
            raise probe.saw(
                f"`status={line.status}`",
                "The line has another status than the answer. It is in the message `http.response.start`.",
            )
        return line

    async def require_one_for_each(self) -> None:
        """As many lines as requests, path by path, and none for a WebSocket."""

        def differing() -> list[tuple[str, int, int]]:
            asked = Counter(one.path for one in self._requests())
            logged = Counter(line.path for line in self.lines())
            return [(path, asked[path], logged[path]) for path in asked | logged if asked[path] != logged[path]]

        await until(lambda: not differing(), LATE)
        for path, asked, logged in differing():
            raise Probe(f"all that went to {path}", f"{asked} lines of log_request").saw(
                f"{logged} lines",
                "A WebSocket is no HTTP request: it has no status, and lasts as long as its client likes. It gets no "
                "line."
                if path == "/live"
                else "Each HTTP request gets one line, whatever its method and its status are.",
            )


def _number(text: str) -> float:
    with contextlib.suppress(ValueError):
        return float(text)
    return -1.0
