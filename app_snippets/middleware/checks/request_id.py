"""How the exercise "Request id and true duration" is judged."""

import asyncio
import contextlib
import json
import secrets
from dataclasses import dataclass
from time import perf_counter  # the machine's own: no clock that an answer may go by is ahead of it

from app_snippets.middleware.checks.common import OVER, Answered, call, failure, has_dispatch, knock
from app_snippets.middleware.checks.ids import (
    KEPT,
    REFUSED,
    in_words,
    require_kept,
    require_own_ids_and_reset,
    require_refused,
)
from app_snippets.middleware.checks.log import Line, Log
from workbench.clock import until
from workbench.judge import Answer, NotYet, Probe, calls, exercise, innermost, place_in_words
from workbench.server import LiveServer

STREAM = 0.3  # seconds that the rows of /export take
ROUNDED = 0.01  # seconds that a line may be off
AT_ONCE = 6
MIXED = (
    "Alone, the same request is right: requests that run at the same time mix up what is theirs. There is one "
    "middleware object for all of them: what belongs to one request must not be kept on `self` or in a global."
)


@exercise(
    "Request id and true duration",
    asks_for="app",
    hints=[
        "Three kinds of scope come through a middleware. What do you do with the other two? And which message carries "
        "the headers, which moment is the end?",
        "Set the variable before the app is called. Wrap `send`, add the header to `http.response.start`, note the "
        "status. When the app has returned, or raised, log and reset: that is `try` and `finally`.",
        "token = request_id.set(id); MutableHeaders(scope=message)['x-request-id'] = id; "
        "re.fullmatch(r'[A-Za-z0-9-]{1,64}', given); in finally: log_request(...), then request_id.reset(token).",
    ],
)
async def request_id(answer: Answer) -> str:
    """Lifespan, WebSocket, cookies, ids of all kinds, several at once, a stream, a bug, and the variable after it."""
    async with answer.served() as server:
        trials = _Trials(answer, server, Log(server))
        await trials.login()
        await trials.live()
        await trials.alone()
        await trials.at_once()
        line = await trials.export()
        await trials.broken()
        await trials.log.require_one_for_each()
        trials.require_no_error()
    await require_own_ids_and_reset(answer)
    return f"Ids echoed, bounded and logged, cookies whole, a stream of 300 ms logged as {1000 * line.seconds:.0f} ms."


@dataclass
class _Trials:
    answer: Answer
    server: LiveServer
    log: Log

    async def login(self) -> None:
        tried, answered = "`GET /login`, which sets three cookies", await call(self.server, "/login")
        if isinstance(answered.error, AttributeError) and "greeting" in str(answered.error):
            raise Probe(tried, "status 200, with what the lifespan provides").saw(
                "status 500: request.state has no greeting",
                "The lifespan did not run. The server sends it through your middleware, as a scope of type `lifespan`, "
                "which has neither headers nor a path. What fails there fails in silence: pass on every scope that is "
                "not `http`.",
            )
        if answered.status != 200:
            raise Probe(tried, "status 200").saw(**failure(answered))
        cookies = answered.all("set-cookie")
        if len(cookies) != 3:
            raise Probe(tried, "three Set-Cookie headers").saw(
                f"{len(cookies)} of them",
                "An answer may have several headers of one name, and a dict keeps the last one only. Add yours to the "
                "list of headers as it is: MutableHeaders(scope=message), or append a pair of bytes.",
            )

    async def live(self) -> None:
        door = await knock(self.server, "/live", say="hello")
        if door.said != "hello":
            raise Probe("the WebSocket /live, which echoes", "the handshake accepted, and `hello` back").saw(
                str(door),
                "A WebSocket comes through your middleware, too, as a scope of type `websocket`, and has messages of "
                "its own. Yours treats it as a request: pass it on as it is.",
            )

    async def alone(self) -> None:
        await self._alone("GET", "/id", 200)
        await self._alone("OPTIONS", "/missing", 404)
        given = secrets.token_hex(16)
        got = await self._alone("GET", "/id", 200, {"x-request-id": given})
        if got != given:
            raise Probe(f"`GET /id` with `x-request-id: {given}`", "that id in the answer").saw(
                f"`{got[:40]}`",
                "The caller's id was ignored. A proxy or another service has given it already, and its log and yours "
                "can be joined by it only when you keep it.",
            )

    async def _alone(self, method: str, path: str, status: int, headers: dict[str, str | bytes] | None = None) -> str:
        """The id that one call has: the same in its answer, in the code and in its line."""
        tried = f"`{method} {path}` with " + (f"`x-request-id: {headers['x-request-id']!s}`" if headers else "no id")
        since = len(self.log.lines(path))
        answered = await call(self.server, path, headers, method)
        if answered.status != status or answered.trouble:
            raise Probe(tried, f"status {status}").saw(**failure(answered))
        there = answered.all("x-request-id")
        if len(there) != 1 or not there[0]:
            raise Probe(tried, "a header `x-request-id` in the answer").saw(
                f"{len(there)} of them" if len(there) != 1 else "an empty one",
                "The header is there more than once. `http.response.start` comes once: add it to that message only."
                if len(there) > 1
                else "Another request has its id, and this one has none: each HTTP request gets one, whatever its "
                "method and its status are."
                if path != "/id"
                else "The answer has no id, so that a caller has nothing to quote. The message `http.response.start` "
                "carries the headers: wrap `send`, and add yours there.",
            )
        if path == "/id":
            _require_seen_inside(tried, answered)
        await self.log.require_line(path, there[0], str(status), since)
        return there[0]

    async def at_once(self) -> None:
        """Ids of all kinds, and among them some that only tell whose answer it is."""
        mine = {id: id for id in (secrets.token_hex(16) for _ in range(AT_ONCE))}
        sent: dict[str, str | bytes] = {**mine, **KEPT, **REFUSED}
        every = await asyncio.gather(*(call(self.server, "/id", {"x-request-id": id}) for id in sent.values()))
        answers = dict(zip(sent, every, strict=True))
        wrong = [id for id in mine if answers[id].one("x-request-id") != id or id not in answers[id].body]
        if wrong:
            raise Probe(
                f"{AT_ONCE} calls of /id at once, each with an id of its own, and others", "each id in its own answer"
            ).saw(f"{len(wrong)} of {AT_ONCE} answers with another request's id, or with none", MIXED)
        require_kept(answers)
        require_refused(answers)
        for words, answered in answers.items():
            _require_seen_inside(in_words(words), answered)

    async def export(self) -> Line:
        """The stream, while other requests come and go. Where that goes wrong, once more alone, for the sentence."""
        try:
            line = await self._export(in_company=True)
        except NotYet as error:
            await self._export(in_company=False)
            raise error.because(MIXED) from None
        ended = {one.path: one.done or 0.0 for one in list(self.server.record.requests)}
        if ended["/id"] > ended["/export"]:
            raise Probe("`GET /id` while a stream is on its way", "an answer before the stream is over").saw(
                "an answer after its end",
                "Requests wait for each other: the slowest holds up all the rest. What belongs to one request is a "
                "local variable of `__call__`, and needs no lock.",
            )
        return line

    async def _export(self, *, in_company: bool) -> Line:
        since, known = len(self.log.lines("/export")), len(self.server.record.requests)
        tried, begun = "`GET /export`, a stream of three rows in 300 ms", perf_counter()
        streaming = asyncio.create_task(call(self.server, "/export", {"x-request-id": "stream-1"}))
        if in_company:
            tried += ", and other requests meanwhile"
            await until(
                lambda: streaming.done() or any(one.first_byte for one in list(self.server.record.requests)[known:]),
                OVER,
            )
            await call(self.server, "/id")
            await call(self.server, "/missing")
        answered = await streaming
        if answered.status != 200 or answered.trouble:
            raise Probe(tried, "status 200, and all rows").saw(**failure(answered))
        if answered.body != "row for stream-1\n" * 3:
            raise Probe(tried, "three rows, each with its request's id").saw(
                f"`{answered.body[:70]}`",
                "While the rows are made, `request_id` no longer has the request's id, or rows got lost on their way. "
                "The answer is not over when it starts: reset the variable when the app has returned.",
            )
        _require_streamed(tried, answered)
        line = await self.log.require_line("/export", "stream-1", "200", since)
        took = perf_counter() - begun
        probe = Probe(tried, f"`seconds` of {STREAM} or a little more")
        if line.seconds < 0.9 * STREAM:
            raise probe.saw(f"{line.seconds:.3f}", await self._why_short(line.seconds))
        if 0.9 * 1000 * STREAM < line.seconds < 1000 * (took + ROUNDED):
            raise probe.saw(f"{line.seconds:.3f}", "These are milliseconds. log_request() takes seconds.")
        _require_its_own(line, took, tried)
        return line

    async def _why_short(self, seconds: float) -> str:
        if has_dispatch(await self.answer.load()):
            return (
                "call_next() comes back as soon as the answer begins: BaseHTTPMiddleware hands you a response whose "
                "body is still to come. A stream's duration is not known in `dispatch`; a pure ASGI middleware sees "
                "its end."
            )
        if calls(self.answer.source, "process_time") or calls(self.answer.source, "thread_time"):
            return (
                "The clock counts what the processor computes, and a request mostly waits. time.perf_counter() goes on "
                "while it does."
            )
        if seconds < 0:
            return "The duration is negative: it is the end less the start."
        when = "at `http.response.start`, when not one row was sent" if seconds < STREAM / 4 else "before the last row"
        return (
            f"The clock was stopped {when}. The answer ends with the last `http.response.body`, and the app returns "
            "after it."
        )

    async def broken(self) -> None:
        tried, begun = "`GET /broken`, whose handler raises", perf_counter()
        answered = await call(self.server, "/broken", {"x-request-id": "bug-1"})
        if answered.status != 500:
            raise Probe(tried, "status 500").saw(
                str(answered), "A handler raised, and its caller does not learn of it. Let the exception go on its way."
            )
        found = await self.log.lines_of("/broken")
        took = perf_counter() - begun
        probe = Probe(tried, "one line of log_request with `id=bug-1` and `status=500`")
        if not found:
            raise probe.saw(
                "no line",
                "The one request that you will look for in the log is not there. The exception comes out of `await "
                "self.app(...)`, and what stands behind it is skipped: use `try` and `finally`.",
            )
        if found[0].id == "bug-1" and found[0].status != "500":
            raise probe.saw(
                f"`status={found[0].status}`",
                "The handler raised before anything was sent, so your `send` saw no status. The 500 is made further "
                "outside, by ServerErrorMiddleware: take 500 for the status until you have seen one.",
            )
        line = await self.log.require_line("/broken", "bug-1", "500")
        _require_its_own(line, took, tried)  # nothing waits in it: a clock started before is ahead even of a stall
        if answered.error is None:
            raise Probe(tried, "the exception goes on, out of the whole app").saw(
                "no exception comes out",
                "Your middleware caught the exception and kept it: the server, and whoever is further outside, never "
                "learns what went wrong. Log, and let it go on with `raise`, or use `finally`.",
            )

    def require_no_error(self) -> None:
        for request in list(self.server.record.requests):
            if request.error is not None and request.path != "/broken":
                line = place_in_words(innermost(request.error.__traceback__))
                raise Probe(f"`{request.method} {request.path}`", "no exception once the answer is sent").saw(
                    f"{type(request.error).__name__}, {line}".rstrip(", "),
                    f"The answer was sent, and then your middleware raised {type(request.error).__name__}: "
                    f"{str(request.error)[:160]}. What belongs to one request is a local variable of `__call__`, and "
                    "is used in the task in which it was made.",
                )


def _require_seen_inside(tried: str, answered: Answered) -> None:
    """What the handler of /id read is what the header says."""
    with contextlib.suppress(ValueError):
        said, id = str(json.loads(answered.body)), answered.one("x-request-id") or ""
        if said != id:
            raise Probe(tried, f"`{id[:40]}`, as in the header").saw(
                f"`{said[:40]}` from request_id",
                "The caller gets an id, and the code inside does not know it: `request_id` is not set while the app "
                "runs. Set it before `await self.app(...)`."
                if said == "-"
                else "The answer has one id and the code inside sees another one. One request, one id: make it once, "
                "keep it in a local variable.",
            )


def _require_streamed(tried: str, answered: Answered) -> None:
    """The first row went out before the last was made."""
    request = answered.request
    if request and request.first_byte and request.first_byte - request.arrived > 0.9 * STREAM:
        raise Probe(tried, "the first row while the others are being made").saw(
            "all rows at the end",
            "The body was gathered before it was sent. An export of a gigabyte would be in memory whole: pass on each "
            "message as it comes.",
        )


def _require_its_own(line: Line, took: float, tried: str) -> None:
    """The line does not say more than passed from before the call until after the line."""
    if line.seconds > took + ROUNDED:
        raise Probe(tried, f"`seconds` of {took:.3f} at the most, which is what the caller waited").saw(
            f"{line.seconds:.3f}",
            "The line says more than the caller waited: the clock was started before this request, or it measures "
            "something else.",
        )
