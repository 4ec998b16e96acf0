"""How the exercise "Authentication at every door" is judged."""

import json
from dataclasses import dataclass

from app_snippets.middleware.checks.common import NOTHING_SENT, Answered, Door, call, failure, has_dispatch, knock, over
from workbench.judge import Answer, Probe, exercise
from workbench.server import LiveServer

GOOD = {"authorization": "Bearer swordfish"}
SECRET = "ada 100"
WRONG_TOKENS: dict[str, str | bytes] = {
    "`Bearer swordfish2`": "Bearer swordfish2",
    "`Bearer s`": "Bearer s",
    "`Bearer`": "Bearer",
    "`swordfish`": "swordfish",
    "`Basic swordfish`": "Basic swordfish",
    "`Bearer caf` and the byte 0xE9": b"Bearer caf\xe9",
}
CLOSED = [
    "/private/salaries",
    "/handbook",
    "//private/salaries",
    "/private/salaries/",
    "/healthy",
    "/health/",
    "//health",
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
    async with answer.served() as server:
        doors = _Doors(answer, server)
        await doors.let_in()
        for path in CLOSED:
            await doors.closed(path)
        for words, token in WRONG_TOKENS.items():
            await doors.closed("/private/salaries", f"with the authorization {words}", {"authorization": token})
        await doors.nothing_done()
        await doors.live()
    return f"{len(CLOSED)} paths and {len(WRONG_TOKENS)} wrong tokens refused, the WebSocket before its handshake."


@dataclass
class _Doors:
    answer: Answer
    server: LiveServer

    async def let_in(self) -> None:
        tried, answered = "`GET /health` without a token", await call(self.server, "/health")
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
        for path, expected in {"/private/salaries": SECRET, "/handbook": "be kind"}.items():
            answered = await call(self.server, path, GOOD)
            if answered.status != 200 or expected not in answered.body:
                raise Probe(f"`GET {path}` with the token", f"status 200, `{expected}`").saw(
                    str(answered),
                    failure(answered)["diagnosis"]
                    if answered.error
                    else "The right token is refused. It comes as the header `authorization: Bearer swordfish`; in the "
                    "scope, names and values of headers are bytes, names in lower case.",
                )

    async def closed(
        self, path: str, how: str = "without a token", headers: dict[str, str | bytes] | None = None
    ) -> None:
        answered = await call(self.server, path, headers)
        if answered.status != 401 or SECRET in answered.body:
            raise Probe(f"`GET {path}` {how}", "status 401").saw(
                str(answered), self._why_not_closed(path, answered, bool(headers))
            )

    def _why_not_closed(self, path: str, answered: Answered, token: bool) -> str:
        error = answered.error
        if type(error).__name__ == "HTTPException":
            return (
                "An HTTPException becomes an answer in a layer inside of your middleware. Raised in the middleware "
                "itself, it meets nobody who knows it, and ends as a 500. Send the 401 yourself."
            )
        if (isinstance(error, TypeError) and "non-ASCII" in str(error)) or isinstance(error, UnicodeError):
            return (
                "A header may hold any byte, and a caller without a token brings your gate to a 500: decode as "
                "latin-1, or compare bytes with bytes."
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
        if token:
            return "Something that is not the token was taken for it. Compare the whole value."
        if path.startswith("//"):
            return (
                "A path has many spellings: `//private/salaries` does not begin with `/private`, and the handler "
                "strips the slashes. What a rule does not foresee must be closed: name the paths that are open, and "
                "compare them whole."
            )
        if "health" in path:
            return (
                f"`{path}` is not `/health`, and it got past your gate. A beginning, or a part, is no comparison: "
                "compare the whole path."
            )
        if path == "/handbook":
            return (
                "Only `/private` is closed. The next path that somebody adds will be open, and nobody will notice. "
                "Everything is closed except `/health`."
            )
        return "The request went through without a token."

    async def nothing_done(self) -> None:
        answered = await call(self.server, "/private/orders", method="POST")
        if answered.status != 401:
            raise Probe("`POST /private/orders` without a token", "status 401").saw(
                str(answered),
                "What is closed for GET is open for POST. The method makes no difference to who is asking.",
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
                str(answered), failure(answered)["diagnosis"]
            )

    async def _orders(self) -> int:
        return int(json.loads((await call(self.server, "/health")).body)["orders"])

    async def live(self) -> None:
        door = await knock(self.server, "/private/live", dict(GOOD))
        if door.said != SECRET:
            raise Probe("the WebSocket /private/live, with the token", f"the handshake accepted, and `{SECRET}`").saw(
                str(door),
                "The token is right, and the WebSocket is refused. The scope of a WebSocket has headers as a request's "
                "has: look for the token there, and then call the app.",
            )
        strangers: dict[str, tuple[str, dict[str, str]]] = {
            "without a token": ("/private/live", {}),
            "with the authorization `Bearer s`": ("/private/live", {"authorization": "Bearer s"}),
            "with the token in the URL": ("/private/live?token=swordfish&authorization=Bearer%20swordfish", {}),
        }
        for how, (path, headers) in strangers.items():
            door = await knock(self.server, path, headers)
            if door.status not in (401, 403):
                raise Probe(f"the WebSocket /private/live, {how}", "the handshake refused, with HTTP 403 or 401").saw(
                    str(door), self._why_open(door, await self.answer.load(), "URL" in how)
                )

    def _why_open(self, door: Door, app: object, in_url: bool) -> str:
        if in_url and door.open:
            return (
                "A token in the URL was taken. URLs are in every access log, in the browser's history and in Referer "
                "headers; a token does not belong there."
            )
        if door.said == SECRET and has_dispatch(app):
            return (
                "The WebSocket went past your gate: BaseHTTPMiddleware passes on every scope that is not `http`, and "
                "`dispatch` is never called for it. A pure ASGI middleware sees both."
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
            return (
                "The refusal of a request was sent to a WebSocket, or an exception was raised. In a `websocket` scope "
                "the server knows no `http.response.start`, and makes a 500 of it. Close before accept: it is answered "
                "with HTTP 403."
            )
        if door.status is not None:
            return "The handshake was refused, with a status that says something else. Close before accept."
        return (
            "Nobody answered the handshake: neither `websocket.accept` nor `websocket.close` was sent, and the client "
            "waits."
        )
