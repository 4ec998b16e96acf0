"""How the exercise "Request id and true duration" is judged."""

import asyncio
import contextlib
import re
import secrets
from contextvars import ContextVar
from dataclasses import dataclass
from time import perf_counter  # the machine's own: no clock that an answer may go by is ahead of it

from app_snippets.middleware.checks.common import OVER, Answered, call, failure, has_dispatch, in_one_task, knock
from workbench.clock import until
from workbench.judge import Answer, Probe, exercise, quoted
from workbench.server import LiveServer
from workbench.server.record import Request

STREAM = 0.3  # seconds that the rows of /export take
LATE = 0.4  # seconds that a missing line gets, once its request is over
ROUNDED = 0.01  # seconds that a line may be off
AT_ONCE = 6
LINE = re.compile(r"request id=(?P<id>.*) path=(?P<path>\S*) status=(?P<status>\S*) seconds=(?P<seconds>\S*)$")
HOSTILE: dict[str, str | bytes] = {
    "10,000 characters": "a" * 10_000,
    "`; path=/admin status=200`, which forges fields of the log line": "; path=/admin status=200",
    "a tab in it": "a\tb",
    "the byte 0xE9, which is no ASCII": b"caf\xe9",
    "no characters": "",
}


@dataclass(frozen=True)
class Line:
    """A line that log_request wrote."""

    id: str
    path: str
    status: str
    seconds: float


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
        trials = _Trials(answer, server)
        await trials.login()
        await trials.live()
        await trials.own_ids()
        await trials.given_ids()
        await trials.at_once()
        line = await trials.export()
        await trials.broken()
    await _require_reset(answer)
    return f"Ids echoed, bounded and logged, cookies whole, a stream of 300 ms logged as {1000 * line.seconds:.0f} ms."


@dataclass
class _Trials:
    answer: Answer
    server: LiveServer

    async def lines(self, path: str, n: int = 1, since: int = 0) -> list[Line]:
        """The lines of a path, once its requests are over and there are `n` of them, or after a while."""

        def found() -> list[re.Match[str]]:
            return [match for line in list(self.server.logs) if (match := LINE.search(line)) and match["path"] == path]

        await until(lambda: not any(one.path == path and one.done is None for one in self.requests()), OVER)
        await until(lambda: len(found()) >= n + since, LATE)
        return [Line(one["id"], path, one["status"], _number(one["seconds"])) for one in found()[since:]]

    def requests(self) -> list[Request]:
        return list(self.server.record.requests)

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

    async def own_ids(self) -> None:
        tried, ids = "`GET /id` twice, with no id", []
        for number in range(2):
            answered = await call(self.server, "/id")
            if answered.status != 200:
                raise Probe(tried, "status 200").saw(**failure(answered))
            header = answered.one("x-request-id")
            if header is None or not header:
                given = answered.all("x-request-id")
                raise Probe(tried, "a header `x-request-id` in the answer").saw(
                    f"{len(given)} of them" if len(given) != 1 else "an empty one",
                    "The answer has no id, so that a caller has nothing to quote. The message `http.response.start` "
                    "carries the headers: wrap `send`, and add yours there."
                    if len(given) != 2
                    else "The header is there twice. `http.response.start` comes once: add it to that message only.",
                )
            ids.append(header)
            self._require_seen_inside(tried, answered, header)
            await self._require_line("/id", header, "200", number)
        if ids[0] == ids[1]:
            raise Probe(tried, "two ids").saw(
                f"`{ids[0]}` twice",
                "Both requests got the same id. Make it in `__call__`, which runs for each request, and not when the "
                "app is built.",
            )

    def _require_seen_inside(self, tried: str, answered: Answered, id: str) -> None:
        said = answered.body.strip('"')
        if said == id:
            return
        if said == "-":
            why = (
                "The caller gets an id, and the code inside does not know it: `request_id` is not set while the app "
                "runs. Set it before `await self.app(...)`."
            )
        else:
            why = (
                "The answer has one id and the code inside sees another one. One request, one id: make it once, keep "
                "it in a local variable."
            )
        raise Probe(tried, f"`{id[:40]}`, as in the header").saw(f"`{said[:40]}` from request_id", why)

    async def _require_line(self, path: str, id: str, status: str, since: int = 0) -> Line:
        found = await self.lines(path, since=since)
        tried, expected = f"`GET {path}`", f"one line of log_request with `id={id[:40]}` and `status={status}`"
        if not found:
            raise Probe(tried, expected).saw(
                "no line",
                "The request left no line in the log. Call log_request() once for each request, when the app has "
                "returned.",
            )
        if len(found) > 1:
            raise Probe(tried, expected).saw(
                f"{len(found)} lines",
                "One request, more than one line: log_request() is called for each message that is sent. Call it once, "
                "when the app has returned.",
            )
        line = found[0]
        if line.id != id:
            raise Probe(tried, expected).saw(
                f"`id={line.id[:40]}`",
                "log_request() reads `request_id`, and the variable was reset before. Log first, reset after."
                if line.id == "-"
                else "The line has an id, but not that of its request.",
            )
        if line.status != status:
            raise Probe(tried, expected).saw(
                f"`status={line.status}`",
                "The line has another status than the answer. It is in the message `http.response.start`.",
            )
        return line

    async def given_ids(self) -> None:
        given = f"order-{secrets.token_hex(4)}"
        answered = await call(self.server, "/id", {"x-request-id": given})
        if answered.one("x-request-id") != given:
            raise Probe(f"`GET /id` with `x-request-id: {given}`", "that id in the answer").saw(
                f"`{(answered.one('x-request-id') or 'none')[:40]}`",
                "The caller's id was ignored. A proxy or another service has given it already, and its log and yours "
                "can be joined by it only when you keep it.",
            )
        self._require_seen_inside(f"`GET /id` with `x-request-id: {given}`", answered, given)
        taken = [(words, got) for words, hostile in HOSTILE.items() if (got := await self._hostile(words, hostile))]
        if taken:
            words, got = taken[0]
            raise Probe(_hostile_words(words), "status 200, and an id of your own").saw(
                f"`{got[:40]}`" + (f" and {len(got) - 40:,} characters more" if len(got) > 40 else ""),
                _why_taken({words for words, _ in taken}),
            )

    async def _hostile(self, words: str, hostile: str | bytes) -> str:
        """The id of the answer, where it is the hostile one. Raises NotYet for what is wrong in itself."""
        answered = await call(self.server, "/id", {"x-request-id": hostile})
        got = answered.one("x-request-id")
        text = hostile.decode("latin-1") if isinstance(hostile, bytes) else hostile
        probe = Probe(_hostile_words(words), "status 200, and an id of your own")
        if answered.status != 200:
            raise probe.saw(**failure(answered))
        if not got:
            raise probe.saw(
                "an empty id", "The caller's header is there, and there is nothing in it. No id is no id: make one."
            )
        if got == text:
            return got
        if len(got) > 64 or not re.fullmatch(r"[\x21-\x7e]+", got):
            raise probe.saw(
                f"{len(got):,} characters, {quoted(got, 30)}",
                "A part of the caller's id was kept, and it is still not within the bounds.",
            )
        return ""

    async def at_once(self) -> None:
        ids = [f"call-{number}-{secrets.token_hex(2)}" for number in range(AT_ONCE)]
        asked = sum(one.path == "/id" for one in self.requests())
        since = len(await self.lines("/id", asked))
        every = await asyncio.gather(*(call(self.server, "/id", {"x-request-id": id}) for id in ids))
        logged = sorted(line.id for line in await self.lines("/id", AT_ONCE, since))
        wrong = [one for id, one in zip(ids, every, strict=True) if one.one("x-request-id") != id or id not in one.body]
        if wrong or logged != sorted(ids):
            raise Probe(
                f"{AT_ONCE} calls of /id at once, each with an id of its own",
                "each id in its own answer and its own line",
            ).saw(
                f"{len(wrong)} of {AT_ONCE} answers, and {len(set(ids) - set(logged))} lines, with another request's "
                "id, or with none",
                "Requests that run at the same time mix up their ids. There is one middleware object for all of them: "
                "what belongs to one request must not be kept on `self` or in a global.",
            )

    async def export(self) -> Line:
        since = len(await self.lines("/export", 0))
        tried, begun = "`GET /export`, a stream of three rows in 300 ms", perf_counter()
        answered = await call(self.server, "/export", {"x-request-id": "stream-1"})
        if answered.status != 200 or answered.trouble:
            raise Probe(tried, "status 200, and all rows").saw(**failure(answered))
        if answered.body != "row for stream-1\n" * 3:
            raise Probe(tried, "three rows, each with its request's id").saw(
                f"`{answered.body[:70]}`",
                "While the rows are made, `request_id` no longer has the request's id, or rows got lost on their way. "
                "The answer is not over when it starts: reset the variable when the app has returned.",
            )
        line = await self._require_line("/export", "stream-1", "200", since)
        took = perf_counter() - begun
        probe = Probe(tried, f"`seconds` of {STREAM} or a little more")
        seen = f"{line.seconds:.3f}"
        if line.seconds < 0.9 * STREAM:
            if has_dispatch(await self.answer.load()):
                why = (
                    "call_next() comes back as soon as the answer begins: BaseHTTPMiddleware hands you a response "
                    "whose body is still to come. A stream's duration is not known in `dispatch`; a pure ASGI "
                    "middleware sees its end."
                )
            else:
                why = (
                    "The clock was stopped at `http.response.start`, when not one row was sent. The answer ends with "
                    "the last `http.response.body`, and the app returns after it."
                )
            raise probe.saw(seen, why)
        if 0.9 * 1000 * STREAM < line.seconds < 1000 * (took + ROUNDED):
            raise probe.saw(seen, "These are milliseconds. log_request() takes seconds.")
        self._require_its_own(line, took, tried)
        return line

    def _require_its_own(self, line: Line, took: float, tried: str) -> None:
        """The line does not say more than passed from before the call until after the line."""
        if line.seconds > took + ROUNDED:
            raise Probe(tried, f"`seconds` of {took:.3f} at the most, which is what the caller waited").saw(
                f"{line.seconds:.3f}",
                "The line says more than the caller waited: the clock was started before this request, or it measures "
                "something else.",
            )

    async def broken(self) -> None:
        tried, begun = "`GET /broken`, whose handler raises", perf_counter()
        answered = await call(self.server, "/broken", {"x-request-id": "bug-1"})
        if answered.status != 500:
            raise Probe(tried, "status 500").saw(
                str(answered), "A handler raised, and its caller does not learn of it. Let the exception go on its way."
            )
        if not await self.lines("/broken"):
            raise Probe(tried, "one line of log_request with `id=bug-1` and `status=500`").saw(
                "no line",
                "The one request that you will look for in the log is not there. The exception comes out of `await "
                "self.app(...)`, and what stands behind it is skipped: use `try` and `finally`.",
            )
        line = (await self.lines("/broken"))[0]
        took = perf_counter() - begun
        if line.id == "bug-1" and line.status != "500":
            raise Probe(tried, "`status=500`").saw(
                f"`status={line.status}`",
                "The handler raised before anything was sent, so your `send` saw no status. The 500 is made further "
                "outside, by ServerErrorMiddleware: take 500 for the status until you have seen one.",
            )
        await self._require_line("/broken", "bug-1", "500")
        self._require_its_own(line, took, tried)  # nothing waits in it: a clock started before is ahead even of a stall
        if answered.error is None and not any("a bug" in line for line in self.server.logs):
            raise Probe(tried, "the exception's traceback in the server's log").saw(
                "no trace of it",
                "Your middleware caught the exception and kept it: nobody will learn what went wrong. Log, and let it "
                "go on with `raise`, or use `finally`.",
            )


async def _require_reset(answer: Answer) -> None:
    app, variable = await answer.load(), answer["request_id"]
    if not isinstance(variable, ContextVar):
        return
    for path in ("/id", "/broken"):
        before, after = await answer.run(lambda path=path: in_one_task(app, variable, path), timeout=2)
        if after != before:
            raise Probe(
                f"`GET {path}` from a task that then goes on, as a test does with httpx.ASGITransport",
                f"`request_id` is {quoted(before)} again",
            ).saw(
                f"it is {quoted(after, 40)}",
                "The variable was set and not reset: what the same task does next has the id of a request that is "
                "over. `token = request_id.set(id)`, and `request_id.reset(token)` at the end."
                if path == "/id"
                else "After a request that went well the variable is reset, after one that raised it is not. The reset "
                "belongs into `finally`.",
            )


def _hostile_words(words: str) -> str:
    return f"`GET /id` with an x-request-id of {words}"


def _why_taken(taken: set[str]) -> str:
    long, forging, *_ = HOSTILE
    if long in taken and forging in taken:
        return (
            "The caller's id is trusted, whatever is in it, and it goes into your log: anyone can fill the log, or "
            "write a line that lies. Take an id over only when all of it is as agreed (re.fullmatch), and else make "
            "your own."
        )
    if long in taken:
        return (
            "The first characters were looked at, and not all of them: `match` is content with a beginning, and a `+` "
            "with any length. re.fullmatch() with {1,64} looks at the whole id."
        )
    return (
        "The length is bounded, and what is in the id is not. A space is enough to write a field of the log line that "
        "lies: allow letters, digits and `-` only."
    )


def _number(text: str) -> float:
    with contextlib.suppress(ValueError):
        return float(text)
    return -1.0
