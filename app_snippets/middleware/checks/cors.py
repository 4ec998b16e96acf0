"""How the exercise "CORS for two pages" is judged: by what a browser would let a page do."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from fastapi.middleware.cors import CORSMiddleware

from app_snippets.middleware.checks.common import Answered, call, failure
from workbench.judge import Answer, Probe, exercise
from workbench.server import LiveServer

TOKEN = "Bearer swordfish"
GOOD = ["https://shop.example.com", "http://localhost:5173"]
EVERYONE = (
    "Every page on the web may act as your user: whatever Origin comes in is sent back as the one allowed. Send it "
    "back only when it is one of yours."
)
NULL = (
    "`null` is no origin of yours: a sandboxed frame on any page sends it. An origin is allowed when it is one of the "
    "two."
)
BEGINS = (
    "It begins as yours does, and only that was compared. Anyone can put your name in front of their own. Compare the "
    "whole origin."
)
ENDS = "It ends as yours does, and only that was compared. Anyone can register such a name. Compare the whole origin."
PART = (
    "It is a part of yours: `in` looks for a part when a text stands behind it, and for a whole origin in a list. "
    "Anyone can register such a name. Compare with a list."
)
RELATED = "A name below or beside yours is another origin, and may be somebody else's. Allow the two, and no more."
SCHEME = (
    "The scheme belongs to the origin. Over plain http, whoever is on the same network can put a page of his own into "
    "that name."
)
PORT = "The port belongs to the origin: another one is another program. Compare the whole origin."
DOT = (
    "In a regular expression, `.` stands for any character, and somebody will buy that name. Escape it, or compare "
    "with a list."
)
EVIL = {  # and what went wrong where it is the first that gets in
    "https://evil.example": EVERYONE,
    "null": NULL,
    "https://shop.example.com.evil.example": BEGINS,
    "https://evil-shop.example.com": ENDS,
    "https://www.shop.example.com": RELATED,
    "https://blog.example.com": RELATED,
    "http://shop.example.com": SCHEME,
    "https://localhost:5173": SCHEME,
    "http://localhost:3000": PORT,
    "https://shop.example.com:8443": PORT,
    "http://localhost:51730": BEGINS,
    "http://localhost:5173.evil.example": BEGINS,
    "https://shop.example.co": PART,
    "http://localhost:517": PART,
    "https://shopxexample.com": DOT,
    "https://shop.examplexcom": DOT,
}
SAFE_METHODS = ("GET", "HEAD", "POST")


@dataclass
class Visit:
    """What a page got out of a fetch() with credentials: `blocked` says why the browser keeps the answer from it."""

    blocked: str = ""
    preflight: Answered | None = None
    answered: Answered | None = None

    def __str__(self) -> str:
        return f"blocked by the browser: {self.blocked}" if self.blocked else f"{self.answered}"


async def visit(server: LiveServer, origin: str, path: str, *, method: str = "GET", token: str = TOKEN) -> Visit:
    """fetch() with an authorization header and credentials, as a browser makes it: preflight, then the request."""
    done = Visit()
    asked: dict[str, str | bytes] = {
        "origin": origin,
        "access-control-request-method": method,
        "access-control-request-headers": "authorization",
    }
    done.preflight = await call(server, path, asked, method="OPTIONS")
    done.blocked = _preflight_fails(done.preflight, origin, method)
    if not done.blocked:
        done.answered = await call(server, path, {"origin": origin, "authorization": token}, method=method)
        done.blocked = _unreadable(done.answered, origin)
    return done


def _unreadable(answered: Answered, origin: str) -> str:
    """Why a page of `origin` may not read this answer to a request with credentials, "" where it may."""
    allowed = answered.all("access-control-allow-origin")
    if answered.status is None:
        return answered.trouble
    if not allowed:
        return f"status {answered.status} without Access-Control-Allow-Origin"
    if len(allowed) > 1:
        return f"Access-Control-Allow-Origin is there {len(allowed)} times"
    if allowed[0] != origin:
        return f"Access-Control-Allow-Origin is `{allowed[0]}`"
    if answered.all("access-control-allow-credentials") != ["true"]:
        return "no `Access-Control-Allow-Credentials: true`"
    return ""


def _preflight_fails(answered: Answered, origin: str, method: str) -> str:
    if blocked := _unreadable(answered, origin):
        return f"preflight: {blocked}"
    if not 200 <= (answered.status or 0) < 300:
        return f"preflight: status {answered.status}"
    if method not in SAFE_METHODS and method not in _listed(answered, "access-control-allow-methods"):
        return f"preflight: {method} is not in Access-Control-Allow-Methods"
    if "AUTHORIZATION" not in _listed(answered, "access-control-allow-headers"):
        return "preflight: authorization is not in Access-Control-Allow-Headers"
    return ""


def _listed(answered: Answered, header: str) -> set[str]:
    return {part.strip().upper() for value in answered.all(header) for part in value.split(",")}


@exercise(
    "CORS for two pages",
    asks_for="app",
    hints=[
        "Before a request with an authorization header, the browser asks with OPTIONS, and that carries no token. Who "
        "has to answer it, and who may not see it?",
        "The layer that is added last is the outermost. With credentials, which value may allow_origins not have, and "
        "what has to be in allow_methods and allow_headers?",
        "add_middleware(Authentication) first, then CORSMiddleware with allow_origins=ORIGINS, allow_credentials=True, "
        "allow_methods=['GET', 'DELETE'], allow_headers=['authorization'].",
    ],
)
async def cors(answer: Answer) -> str:
    """Two good pages and many others: preflight, reading, deleting, errors, and what a cache may keep."""
    async with answer.served() as server:
        pages = _Pages(answer, server)
        await pages.without_a_page()
        for origin in GOOD:
            await pages.reads(origin)
            await pages.errors(origin)
            await pages.varies(origin)
        for origin in GOOD:
            await pages.deletes(origin)
        for origin in EVIL:
            await pages.evil(origin)
    return f"{len(GOOD)} pages read, delete and see their errors; {len(EVIL)} others get nothing."


@dataclass
class _Pages:
    answer: Answer
    server: LiveServer

    def _layers(self) -> list[Any]:
        return getattr(self.answer["app"], "user_middleware", [])

    async def without_a_page(self) -> None:
        answered = await call(self.server, "/orders", {"authorization": TOKEN})
        if answered.status != 200 or "a lamp" not in answered.body:
            why = failure(answered)["diagnosis"]
            if isinstance(answered.error, AttributeError) and "orders" in str(answered.error):
                why = (
                    "The lifespan did not run: a middleware of yours takes its scope for a request. Pass on every "
                    "scope that is not `http`."
                )
            raise Probe(
                "`GET /orders` with the token and no Origin, as a script asks", "status 200, and the orders"
            ).saw(str(answered), why)
        answered = await call(self.server, "/orders")
        if answered.status != 401:
            raise Probe("`GET /orders` without a token", "status 401").saw(
                str(answered),
                "Nobody asks for a token any more. CORS is what browsers do for their users; it keeps no script out. "
                "Authentication stays.",
            )

    async def reads(self, origin: str) -> None:
        done = await visit(self.server, origin, "/orders")
        if done.blocked or done.answered is None or "a lamp" not in done.answered.body:
            raise Probe(
                f"a page of `{origin}` reads /orders: preflight, then GET with the token and credentials", "the orders"
            ).saw(str(done), await self._why_kept_out(done, origin))

    async def _why_kept_out(self, done: Visit, origin: str) -> str:
        preflight = done.preflight or Answered()
        if "is `*`" in done.blocked:
            return (
                "`*` and credentials do not go together: a browser refuses that answer, whoever the page is. Send the "
                "one origin that asks, when it is one of yours."
            )
        if "Allow-Origin is `" in done.blocked:
            return "An answer allows one origin: send back the one that asks, when it is one of yours."
        if "times" in done.blocked:
            return "Two layers add the same header, and a browser refuses an answer that allows two origins. Keep one."
        if "Credentials" in done.blocked:
            return (
                "The page's fetch() sends credentials, and the answer does not say that it may: allow_credentials is "
                "missing."
            )
        if preflight.status == 401 and preflight.all("access-control-allow-origin"):
            return (
                "Your CORS layer adds its headers, and lets the preflight through to Authentication, which refuses it: "
                "a preflight carries no token. The layer has to answer every preflight itself."
            )
        with_token = await call(self.server, "/orders", {"origin": origin, "authorization": TOKEN})
        if preflight.status == 401 and not with_token.all("access-control-allow-origin"):
            return (
                "No CORS layer answers this page, neither the preflight, which carries no token, nor the request with "
                "one. Add CORSMiddleware with the origins, outside of Authentication."
            )
        if preflight.status == 401:
            return (
                "A preflight carries no token, so Authentication refused it before CORS was asked. The layer that is "
                "added last is the outermost: CORS has to be outside of Authentication."
            )
        if preflight.status in (404, 405):
            return (
                "Nobody answers the OPTIONS request that a browser sends first, the preflight: it ended at the routes, "
                "which know no such method. The CORS layer has to answer it itself."
            )
        refused = preflight.body if preflight.body.startswith("Disallowed CORS") else ""
        if refused and sum(layer.cls is CORSMiddleware for layer in self._layers()) > 1:
            return (
                f"There are two CORS layers. The outermost answers a preflight by itself, here with `{refused}`, and "
                "the other is not asked. Keep one that allows all that both should."
            )
        if "origin" in refused:
            return "The page's own origin is not among those allowed. An origin is scheme, host and port, no slash."
        if "method" in refused:
            return (
                "The preflight for a GET is refused: allow_methods names what may follow a preflight, and a GET with "
                "an authorization header has one. Both belong there, GET and DELETE."
            )
        if "headers" in refused or "Allow-Headers" in done.blocked:
            return "The page sends an authorization header, and the preflight does not allow it: allow_headers."
        if done.answered is not None:
            return "The preflight succeeds, and the answer itself lacks the headers: both need them."
        return failure(preflight)["diagnosis"]

    async def errors(self, origin: str) -> None:
        for path, token, status in (("/orders", "Bearer old", 401), ("/orders/none", TOKEN, 404)):
            done = await visit(self.server, origin, path, token=token)
            if not done.blocked and done.answered and done.answered.status == status:
                continue
            raise Probe(
                f"a page of `{origin}` asks for {path}"
                + (" with a token that has run out" if status == 401 else ", which is not there"),
                f"a {status} that the page may read",
            ).saw(
                str(done),
                self._why_no_error(done, status),
            )

    def _why_no_error(self, done: Visit, status: int) -> str:
        if not done.blocked:
            return (
                "The status is another one than without CORS. What a page may do is for Authentication and the routes "
                "to say, as before; CORS says who may read it."
            )
        if status == 401:
            return (
                "The answer is a 401 without CORS headers, so the page is told of a network error, and cannot ask its "
                "user to log in again. Authentication answers by itself, outside of your CORS layer: add CORS last."
            )
        return "An error answer lacks the headers that a good one has. The page needs to read its errors, too."

    async def varies(self, origin: str) -> None:
        answered = await call(self.server, "/orders", {"origin": origin, "authorization": TOKEN})
        if "ORIGIN" not in _listed(answered, "vary") and "*" not in _listed(answered, "vary"):
            raise Probe(f"`GET /orders` with `origin: {origin}`", "a header `Vary: Origin`").saw(
                f"Vary is {answered.all('vary') or 'not there'}",
                "The answer depends on the Origin and does not say so. A cache hands it to the other page, with the "
                "wrong origin in it, and that page is blocked. Send `Vary: Origin`.",
            )

    async def deletes(self, origin: str) -> None:
        done = await visit(self.server, origin, "/orders/1", method="DELETE")
        left = await call(self.server, "/orders", {"authorization": TOKEN})
        if not done.blocked and json.loads(left.body) == {}:
            return
        raise Probe(
            f"a page of `{origin}` cancels an order: preflight, then DELETE",
            "the order gone, and an answer that the page may read",
        ).saw(
            str(done),
            "The page may read, and not delete: by default CORSMiddleware allows GET only, and the preflight for "
            "another method fails. Name it in allow_methods."
            if "preflight" in done.blocked
            else "The DELETE did not do what it did before.",
        )

    async def evil(self, origin: str) -> None:
        """No answer to such a page names it, or everyone, be it a 200, a 401 or a 404, and no preflight succeeds."""
        asked = {"origin": origin, "authorization": TOKEN}
        answers = await asyncio.gather(
            call(self.server, "/orders", {**asked}),
            call(self.server, "/orders", {**asked, "authorization": "Bearer old"}),
            call(self.server, "/orders/none", {**asked}),
        )
        deleting = await visit(self.server, origin, "/orders/1", method="DELETE")
        probe = Probe(f"a page of `{origin}`", "no answer that it may read, and no preflight that succeeds")
        for answered in answers:
            allowed = answered.all("access-control-allow-origin")
            if "*" in allowed:
                raise probe.saw(
                    f"`Access-Control-Allow-Origin: *` with status {answered.status}",
                    "Pages without credentials are pages, too: `*` lets every one of them read. Send no such header to "
                    "an origin that is not one of the two.",
                )
            if origin in allowed:
                raise probe.saw(f"it reads an answer with status {answered.status}", self._why_let_in(origin))
        if not deleting.blocked.startswith("preflight"):
            raise probe.saw("it may send a DELETE", self._why_let_in(origin))

    def _why_let_in(self, origin: str) -> str:
        if EVIL[origin] == EVERYONE and any("*" in layer.kwargs.get("allow_origins", ()) for layer in self._layers()):
            return (
                "Every page on the web may act as your user. With credentials, `*` cannot be sent, so for "
                '`allow_origins=["*"]` CORSMiddleware sends back whatever Origin came in. Name the origins.'
            )
        return EVIL[origin]
