"""How the exercise "Authentication at every door" is judged."""

import asyncio
import json
from dataclasses import dataclass

from fastapi import FastAPI

from app_snippets.middleware.checks.common import NOTHING_SENT, Answered, Door, call, failure, has_dispatch, knock, over
from workbench.judge import Answer, Probe, exercise
from workbench.server import LiveServer

GOOD = {"authorization": "Bearer swordfish"}
SECRET = "ada 100"
WRONG_TOKENS: dict[str, str | bytes] = {
    "`Bearer swordfish2`": "Bearer swordfish2",
    "`Bearer s`": "Bearer s",
    "`Bearer`": "Bearer",
    "`Bearer Swordfish`": "Bearer Swordfish",
    "`swordfish`": "swordfish",
    "`Basic swordfish`": "Basic swordfish",
    "`Bearer caf` and the byte 0xE9": b"Bearer caf\xe9",
}
IN_THE_URL = "?token=swordfish&authorization=Bearer%20swordfish"
CLOSED = {  # and the status that it has with the token
    "/private/salaries": 200,
    "/handbook": 200,
    "//private/salaries": 200,
    "/private/salaries/": 200,
    "/healthy": 404,
    "/health/": 404,
    "//health": 404,
    "/HEALTH": 404,
    "/docs": 200,
    "/openapi.json": 200,
    f"/private/salaries{IN_THE_URL}": 200,
}
OTHER_METHODS = ["HEAD", "OPTIONS", "PUT", "DELETE"]  # of /private/salaries, which knows none of them
LIVE = ["/private/live", "/live"]
NOBODY_ANSWERED = (
    "Nobody answered the handshake: neither `websocket.accept` nor `websocket.close` was sent, and the client waits."
)
TOKEN_IN_THE_URL = (
    "A token in the URL was taken. URLs are in every access log, in the browser's history and in Referer headers; a "
    "token does not belong there."
)


@dataclass(frozen=True)
class Stranger:
    """One way to come without the token, and the status that the same way has with it."""

    method: str
    path: str
    status: int
    how: str = "without a token"
    token: str | bytes | None = None

    def __str__(self) -> str:
        return f"`{self.method} {self.path}` {self.how}"


STRANGERS = [
    *(Stranger("GET", path, status) for path, status in CLOSED.items()),
    *(Stranger(method, "/private/salaries", 405) for method in OTHER_METHODS),
    *(
        Stranger("GET", "/private/salaries", 200, f"with the authorization {words}", token)
        for words, token in WRONG_TOKENS.items()
    ),
]


@exercise(
    "Authentication at every door",
    asks_for="app",
    hints=[
        "Which kinds of scope reach `dispatch`? And is it safer to list the paths that are closed, or those that are "
        "open?",
        "As pure ASGI: a lifespan goes on, `/health` goes on, the right token goes on. What is left is refused, and a "
        "WebSocket is refused in its own words.",
        "For a WebSocket: `await send({'type': 'websocket.close', 'code': 1008})`, and the app is not called. For a "
        "request: `await JSONResponse({...}, 401)(scope, receive, send)`.",
    ],
)
async def authentication(answer: Answer) -> str:
    """A matrix of http, websocket and lifespan: with the token, without, and with something like it."""
    app = await answer.load()
    if isinstance(app, FastAPI):
        app.docs_url = None  # or the bench would answer for the app's own /docs, outside of the gate
    async with answer.served() as server:
        doors = _Doors(answer, server)
        await doors.let_in()
        await doors.closed()
        await doors.nothing_done()
        await doors.live()
    doors.not_called_after_the_refusal()  # by now the server has ended, and with it all that was on its way
    return f"{len(STRANGERS)} strangers refused, and those of WebSockets before the handshake."


@dataclass
class _Doors:
    answer: Answer
    server: LiveServer
    refused_at_first: bool = False  # a stranger who came before anybody with the token

    async def let_in(self) -> None:
        """`/health` without a token, and two documents with it."""
        path = "/health?from=balancer"
        tried, answered = f"`GET {path}` without a token", await call(self.server, path)
        if isinstance(answered.error, AttributeError) and "orders" in str(answered.error):
            raise Probe(tried, "status 200").saw(
                "status 500: request.state has no orders",
                "The lifespan did not run. It comes through your middleware as a scope of type `lifespan`, with no "
                "path, no headers and no token. Pass it on.",
            )
        if answered.status in (401, 403):
            raise Probe(tried, "status 200").saw(
                str(answered), "The load balancer asks for `/health`, and has no token. That one path stays open."
            )
        if answered.status != 200:
            raise Probe(tried, "status 200").saw(**failure(answered))
        self.refused_at_first = (await call(self.server, "/private/salaries")).status == 401
        for path, expected in {"/private/salaries": SECRET, "/handbook": "be kind"}.items():
            answered = await call(self.server, path, GOOD)
            if answered.status != 200 or expected not in answered.body:
                raise Probe(f"`GET {path}` with the token", f"status 200, `{expected}`").saw(
                    str(answered), _why_not_let_in(answered)
                )

    async def closed(self) -> None:
        """All strangers at once, and between them those who have the token."""
        strangers = [call(self.server, one.path, _header(one.token), one.method) for one in STRANGERS]
        friends = [call(self.server, one.path, GOOD, one.method) for one in STRANGERS]
        every = await asyncio.gather(*strangers, *friends)
        tries = list(zip(STRANGERS, every[: len(STRANGERS)], every[len(STRANGERS) :], strict=True))
        for one, answered, with_token in tries:
            if answered.status != 401 or SECRET in answered.body:
                through = (answered.status, answered.body) == (with_token.status, with_token.body)
                why = _why_not_closed(one, answered, through)
                if through and one == STRANGERS[0] and self.refused_at_first:
                    why = (
                        "The same stranger was refused before anybody with the token had come. Your gate remembers "
                        "those, on `self` or in a global, and lets others in for it: each request shows its own token."
                    )
                raise Probe(str(one), "status 401").saw(str(answered), why)
        for one, _, with_token in tries:
            if with_token.status != one.status:
                raise Probe(f"`{one.method} {one.path}` with the token", f"status {one.status}, as the app has it").saw(
                    str(with_token), _why_not_let_in(with_token)
                )

    async def nothing_done(self) -> None:
        answered = await call(self.server, "/private/orders", method="POST")
        if answered.status != 401:
            raise Probe("`POST /private/orders` without a token", "status 401").saw(
                str(answered), _other_method("POST")
            )
        await over(answered)  # the app may be called after the refusal
        if orders := await self._orders():
            raise Probe("`POST /private/orders` without a token", "status 401, and no order").saw(
                f"status 401, and {orders} order",
                "The caller is told 401, and the order was made: the app was called before the token was looked at, or "
                "beside the refusal. Refuse, and do not call the app.",
            )
        answered = await call(self.server, "/private/orders", GOOD, method="POST")
        if answered.status != 200 or await self._orders() != 1:
            raise Probe("`POST /private/orders` with the token", "status 200, and one order").saw(
                str(answered), _why_not_let_in(answered)
            )

    async def _orders(self) -> int:
        return int(json.loads((await call(self.server, "/health")).body)["orders"])

    async def live(self) -> None:
        for path in LIVE:
            door = await knock(self.server, path, dict(GOOD))
            if door.said != SECRET:
                raise Probe(f"the WebSocket {path}, with the token", f"the handshake accepted, and `{SECRET}`").saw(
                    str(door),
                    self._why_500()
                    if door.status == 500
                    else "The token is right, and the WebSocket is refused. The scope of a WebSocket has headers as a "
                    "request's has: look for the token there, and then call the app.",
                )
        strangers: list[tuple[str, str, dict[str, str]]] = [
            *((path, "without a token", {}) for path in LIVE),
            ("/private/live", "with the authorization `Bearer s`", {"authorization": "Bearer s"}),
            (f"/private/live{IN_THE_URL}", "with the token in the URL", {}),
        ]
        doors = await asyncio.gather(*(knock(self.server, path, headers) for path, _, headers in strangers))
        for (path, how, _), door in zip(strangers, doors, strict=True):
            if door.status not in (401, 403):
                raise Probe(f"the WebSocket {path}, {how}", "the handshake refused, with HTTP 403 or 401").saw(
                    str(door), self._why_open(path, door, await self.answer.load(), doors[0])
                )

    def _why_open(self, path: str, door: Door, app: object, first: Door) -> str:
        if path.endswith(IN_THE_URL) and door.open:
            return TOKEN_IN_THE_URL
        if door.said == SECRET and has_dispatch(app):
            return (
                "The WebSocket went past your gate: BaseHTTPMiddleware passes on every scope that is not `http`, and "
                "`dispatch` is never called for it. A pure ASGI middleware sees both."
            )
        if door.said == SECRET and not first.open:
            return (
                "The same stranger is refused at /private/live. Everything is closed except `/health`, for WebSockets "
                "as for requests."
                if path == "/live"
                else "Something that is not the token was taken for it. Compare the whole value."
            )
        if door.said == SECRET:
            return (
                "The WebSocket went past your gate. What is not `http` is passed on, and that includes `websocket`. "
                "Only the lifespan has nobody to ask for a token."
            )
        if door.open:
            return (
                "The stranger's handshake was accepted, and the connection closed after it. Refuse before: "
                "`websocket.close` instead of `websocket.accept` makes the server answer the handshake with HTTP 403."
            )
        if door.status == 500:
            return self._why_500()
        if door.status is not None:
            return "The handshake was refused, with a status that says something else. Close before accept."
        return NOBODY_ANSWERED

    def _why_500(self) -> str:
        told = [line for error in self.server.errors for line in str(error).splitlines() if line.strip()]
        last = told[-1].strip().rstrip(".") if told else ""
        if "returned without completing handshake" in last:
            return NOBODY_ANSWERED
        if last and "'http.response.start'" not in last:
            return (
                f"The handshake ended with {last[:160]}. The scope of a WebSocket has no `method`, and an exception "
                "is no refusal: `websocket.close` before accept is one, and the server answers it with HTTP 403."
            )
        return (
            "The refusal of a request was sent to a WebSocket. In a `websocket` scope the server knows no "
            "`http.response.start`, and makes a 500 of it. Close before accept: it is answered with HTTP 403."
        )

    def not_called_after_the_refusal(self) -> None:
        said = [one.kind for one in list(self.server.record.messages) if one.direction == "out"]
        if said.count("accept") > len(LIVE):
            raise Probe("WebSockets without the token", "the app is not called").saw(
                f"{said.count('accept') - len(LIVE)} of them accepted, once they were refused",
                "The stranger was refused, and then the app was called all the same: the handler runs. Refuse, and "
                "return.",
            )


def _other_method(method: str) -> str:
    return f"What is closed for GET is open for {method}. The method makes no difference to who is asking."


def _header(token: str | bytes | None) -> dict[str, str | bytes]:
    return {} if token is None else {"authorization": token}


def _why_not_let_in(answered: Answered) -> str:
    if answered.status in (401, 403):
        return (
            "The right token is refused. It comes as the header `authorization: Bearer swordfish`; in the scope, names "
            "and values of headers are bytes, names in lower case."
        )
    return failure(answered)["diagnosis"]


def _why_not_closed(stranger: Stranger, answered: Answered, through: bool) -> str:
    error, path = answered.error, stranger.path
    if type(error).__name__ == "HTTPException":
        return (
            "An HTTPException becomes an answer in a layer inside of your middleware. Raised in the middleware itself, "
            "it meets nobody who knows it, and ends as a 500. Send the 401 yourself."
        )
    if isinstance(error, TypeError) and "non-ASCII" in str(error):
        return (
            "A header may hold any byte, and a caller without a token brings your gate to a 500: "
            "secrets.compare_digest takes no text that is not ASCII. Give it bytes: encode both sides."
        )
    if isinstance(error, UnicodeError):
        return (
            f"A header may hold any byte, and a caller without a token brings your gate to a 500: {error}. Decode as "
            "latin-1, which knows every byte, or compare bytes with bytes."
        )
    if error is not None:
        return failure(answered)["diagnosis"]
    if answered.status == 500:
        return NOTHING_SENT
    if answered.status is None:
        return (
            "Nobody answered. A middleware that does not call the app has to send an answer itself: "
            "`http.response.start`, then `http.response.body`."
        )
    if answered.status == 403:
        return "The caller is not known yet, which is a 401. A 403 says: I know you, and you may not."
    if not through and SECRET not in answered.body:
        return (
            "The stranger is refused, and the status says something else. Programs that call know a 401: they ask "
            "their user to log in. A redirect, for one, leads them to a page that they take for the answer."
        )
    if stranger.token is not None:
        return "Something that is not the token was taken for it. Compare the whole value."
    if stranger.method != "GET":
        return _other_method(stranger.method)
    if path.endswith(IN_THE_URL):
        return TOKEN_IN_THE_URL
    if "health" in path.lower():
        return (
            f"`{path}` is not `/health`, and it got past your gate. A beginning, an end, or the same in other letters "
            "is no comparison: compare the whole path."
        )
    if path.startswith("//"):
        return (
            "A path has many spellings: `//private/salaries` does not begin with `/private`, and the handler strips "
            "the slashes. What a rule does not foresee must be closed: name the paths that are open, and compare them "
            "whole."
        )
    if path in ("/docs", "/openapi.json"):
        return (
            "FastAPI's documentation goes through your middleware as everything does, and says to strangers what there "
            "is behind the gate. Everything is closed except `/health`."
        )
    if path == "/handbook":
        return (
            "Only `/private` is closed. The next path that somebody adds will be open, and nobody will notice. "
            "Everything is closed except `/health`."
        )
    return "The request went through without a token."
