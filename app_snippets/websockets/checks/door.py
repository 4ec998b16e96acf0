"""E3: every origin with every token, and how long the door waits."""

import asyncio
import json
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from app_snippets.websockets.checks.common import Peer, last_error, peer, require_no_errors
from workbench import clock
from workbench.clock import until
from workbench.judge import Answer, Probe, exercise, quoted, where_it_is
from workbench.server import LiveServer

PATH = "/news"
PATIENCE = 0.5  # seconds until the token must be there, as in the cell
OURS = ["https://app.example", "http://localhost:8888"]
FOREIGN: list[str | None] = [
    "https://evil.example",
    None,
    "null",
    "https://app.example.evil.example",
    "https://evil.example/?https://app.example",
    "https://evilapp.example",
    "https://evil.app.example",
    "https://appxexample",
    "http://app.example",
    "https://app.example:8443",
    "http://localhost:9999",
]
LATE = "accepted, and then closed"
LEFT = "a client that leaves before it has shown a token, and one that leaves later"
RIGHT = json.dumps({"token": "secret-1"})
EARLY = "Something was sent before anybody had shown a token. What is wrong is told by the close alone."
GUESSES = "A wrong first message is ignored, and the client may guess on for as long as it likes. One try, then close."
RUBBISH = [
    json.dumps({"token": "secret-3"}),
    "hello",
    "[1, 2]",
    "{}",
    '"secret-1"',
    '{"token": null}',
    '{"token": ["secret-1"]}',
    "",
    b"\x00\xff",
]


@exercise(
    "Who may come in",
    asks_for="app",
    hints=[
        "Two questions, at two moments. Which page is asking? The browser says that before the connection is accepted. "
        "Who is asking? The client says that in its first message. How long do you wait for it?",
        'websocket.headers.get("origin") is exactly one of ORIGINS, or close() without accept(). Then a deadline '
        "around the first receive, and everything that can be wrong with a text that should be JSON.",
        "async with asyncio.timeout(PATIENCE): first = await websocket.receive(); then json.loads(first['text']) "
        "['token'] in a try with TimeoutError, ValueError, TypeError and KeyError; close(1008) for all of them.",
    ],
)
async def door(answer: Answer) -> str:
    """The whole matrix: origins, tokens, and while two clients say nothing, wrong tokens and a late one."""
    async with answer.served() as server:
        await _foreign(server)
        await _ours(server)
        silent = asyncio.gather(
            _silent(server, PATH, "a client of ours that says nothing"),
            _silent(server, PATH + "?token=secret-1", "a token in the address, and no message"),
            return_exceptions=True,
        )
        later = asyncio.gather(_late(server), _stay(server, silent), return_exceptions=True)
        for text in RUBBISH:  # one after another, so that what the endpoint raised last is about this one
            await _refused(server, text)
        for outcome in filter(None, [*await silent, *await later]):
            raise outcome
        await _refused(server, RUBBISH[0], PATH + "?token=secret-1")
        await _leaves(server)
        require_no_errors(server, LEFT)
    return f"{len(OURS)} origins in, {len(FOREIGN)} refused with 403; {len(RUBBISH)} wrong tokens and silence closed."


async def _status(server: LiveServer, origin: str | None) -> int | str:
    options: dict[str, Any] = {"proxy": None, "origin": origin, "close_timeout": 0.2, "open_timeout": 1.5}
    try:
        connection = await connect(server.ws_url + PATH + "?token=secret-1", **options)
    except InvalidStatus as error:
        return error.response.status_code
    except (InvalidHandshake, OSError, EOFError, TimeoutError) as error:
        return type(error).__name__
    try:  # a door that is shut again does not even look at the token
        async with asyncio.timeout(1):
            await connection.send(json.dumps({"token": "secret-1"}))
            await connection.recv()
    except TimeoutError:
        pass
    except ConnectionClosed:
        return LATE
    finally:
        connection.transport.abort()
    return 101


async def _foreign(server: LiveServer) -> None:
    asking = asyncio.gather(*(_status(server, origin) for origin in FOREIGN))
    await asyncio.wait({asking}, timeout=1)
    where = where_it_is()
    statuses = await asking
    wrong = {origin: status for origin, status in zip(FOREIGN, statuses, strict=True) if status != 403}
    if not wrong:
        return
    origin, status = next(iter(wrong.items()))
    if status == LATE:
        why = (
            "The origin is looked at, and the connection was accepted first: the page of a stranger saw it open. "
            "close() before accept() answers with 403, and there is no WebSocket."
        )
    elif status != 101:
        why = (
            f"The endpoint does not answer: {where}. A foreign origin is refused at once, with close() before accept()."
            if isinstance(status, str)
            else f"The endpoint failed, where it should refuse. {last_error(server)}"
            if last_error(server)
            else "The endpoint returns without a word, and for the server that is a failure. close() before accept() "
            "answers with 403; then return."
        )
    elif "https://evil.example" in wrong and None in wrong:
        why = (
            "Any page may connect. WebSockets are not covered by CORS: a page of evil.example in the browser of your "
            "user opens one, with your cookies. Look at the Origin header before accept(), and close()."
        )
    elif "https://evil.example" in wrong:
        why = "A page of evil.example is let in. Whoever is not in ORIGINS is refused before accept()."
    elif None in wrong:
        why = (
            "Who sends no Origin at all is let in. Every browser sends one with a WebSocket, so a missing one is a "
            "script. Refuse it, or let in by another way what is no browser."
        )
    elif "null" in wrong:
        why = (
            "`null` is let in. It is what a browser sends for a page without an origin, a sandboxed frame or a file: "
            "any stranger can have that. It is not in ORIGINS."
        )
    elif {"https://app.example.evil.example", "https://evil.example/?https://app.example"} & set(wrong):
        why = (
            "A part of the origin was compared: https://app.example is the beginning, or a piece, of many other names, "
            "and anybody can register them. The whole origin is in ORIGINS, or it is not."
        )
    elif "https://evilapp.example" in wrong:
        why = "The end of the origin was compared, and evilapp.example ends like that as well. Compare all of it."
    elif "https://evil.app.example" in wrong:
        why = (
            "A name below one of ORIGINS is let in. It is another server: the whole origin is in ORIGINS, or it is not."
        )
    elif "https://appxexample" in wrong:
        why = (
            "In a regular expression a dot stands for any character, and appxexample is another name. re.escape() "
            "takes it as it is; to look whether the origin is in ORIGINS needs no expression."
        )
    else:
        why = "Scheme, name and port are the origin, all three: http is not https, and another port is another server."
    raise Probe(f"to connect with {len(FOREIGN)} origins that are not in ORIGINS", "403 for each of them").saw(
        f"{status if status != 101 else 'accepted'} with " + ("no Origin" if origin is None else f"`Origin: {origin}`"),
        why,
    )


async def _ours(server: LiveServer) -> None:
    for origin in OURS:
        for token, user in (("secret-1", "ada"), ("secret-2", "grace")):
            tried = f"`Origin: {origin}`, then the token of {user}, then a message"
            async with peer(server, PATH, origin=origin) as one:
                await one.say(json.dumps({"token": token}))
                await until(lambda one=one: one.texts or one.closed is not None, 1)
                await one.say("hello")
                await until(lambda one=one: len(one.texts) >= 2 or one.closed is not None, 0.7)
            probe = Probe(tried, f'`{{"user": "{user}"}}`, and `{user} said hello`')
            seen = f"{quoted(one.texts, 80)}" + (f", closed with {one.closed}" if one.closed else "")
            if _spoke_first(server, one):
                raise probe.saw(seen, EARLY)
            if not one.texts:
                raise probe.saw(seen, f"The right token in the first message does not help. {_not_helped(server, one)}")
            if [_json(one.texts[0]), *one.texts[1:]] != [{"user": user}, f"{user} said hello"]:
                raise probe.saw(
                    seen,
                    "The right token opens the door, and what comes after it is not as it was in the cell. "
                    + last_error(server),
                )


def _not_helped(server: LiveServer, one: Peer) -> str:
    """Why a right token in the first message opens nothing."""
    if error := last_error(server):
        return error
    if not any(message.kind == "receive" for message in server.record.conversation(one.port)):
        return (
            "No message was asked for: the endpoint decided without one. A token in the address is written into every "
            "log on its way: it comes in the first message, as JSON with the key `token`."
        )
    return (
        'It was received, and another was wanted. It is a text, `{"token": "secret-1"}`: JSON with the key `token`, '
        "whose value is a key of USERS. No message comes before or after it until it has been answered."
    )


def _spoke_first(server: LiveServer, one: Peer) -> bool:
    """Whether the answer sent something before it had received anything."""
    kinds = [message.kind for message in server.record.conversation(one.port)]
    return "send" in kinds and "receive" not in kinds[: kinds.index("send")]


def _json(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


async def _silent(server: LiveServer, path: str, tried: str) -> None:
    async with peer(server, path, origin=OURS[0]) as one:
        in_time = await until(lambda: one.closed is not None or one.texts, 1.5 * PATIENCE)
        await until(lambda: one.closed is not None or one.texts, 1.5 * PATIENCE)
    probe = Probe(tried, f"a close with 1008 after {PATIENCE} s")
    if one.texts and "?" in path and _json(one.texts[0]) == {"user": "ada"}:
        raise probe.saw(
            quoted(one.texts, 60),
            "The token in the address opens the door. Addresses end up in the logs of every proxy, in the history "
            "and in what users copy: no token in a query.",
        )
    if one.texts:
        raise probe.saw(quoted(one.texts, 60), EARLY)
    if one.closed is None:
        raise probe.saw(
            f"it is still connected after {3 * PATIENCE} s",
            "Whoever says nothing stays, accepted and unknown: ten thousand of them cost a stranger nothing. The wait "
            "for the first message needs a deadline.",
        )
    _require_1008(server, one.closed, probe, "silence")
    if not in_time:
        raise probe.saw("a close, much later", "The client has PATIENCE seconds for its token, and no more.")


async def _refused(server: LiveServer, text: str | bytes, path: str = PATH) -> None:
    async with peer(server, path, origin=OURS[0]) as one:
        await one.say(text, RIGHT)
        await until(lambda: one.closed is not None or one.texts, 1.6)
        await until(lambda: one.closed is not None, 0.1)
    tried = f"`{text!r}` as the first message, and then a right one" + (
        ", with a token in the address" if "?" in path else ""
    )
    probe = Probe(tried, "a close with 1008")
    echoed = any("said" in str(text) for text in one.texts)
    if one.texts and _json(one.texts[0]) == {"user": "ada"}:
        raise probe.saw(
            quoted(one.texts, 60),
            "It opens the door, and it is no JSON object whose key `token` has a token in USERS. Look for the token "
            "where it must be, and nowhere else."
            if echoed
            else GUESSES,
        )
    if one.texts and one.closed is not None and not echoed:
        raise probe.saw(f"{quoted(one.texts, 60)}, closed with {one.closed}", EARLY)
    if one.texts:
        raise probe.saw(quoted(one.texts, 60), "A wrong token opens the door.")
    if one.closed is None:
        raise probe.saw(
            "it is still connected after 1.6 s",
            "Whoever sends a wrong first message is neither let in nor closed. One try, then close.",
        )
    _require_1008(server, one.closed, probe, f"`{text!r}`")


async def _late(server: LiveServer) -> None:
    """A client that takes most of its time is let in."""
    pause = 0.7 * PATIENCE
    async with peer(server, PATH, origin=OURS[0]) as one:
        await asyncio.sleep(pause)
        await one.say(RIGHT)
        await until(lambda: one.closed is not None or one.texts, 1)
    if not one.texts:
        raise Probe(f"a right token as the first message, after {pause:g} s", '`{"user": "ada"}`').saw(
            f"closed with {one.closed}" if one.closed else "nothing",
            "A client that needs a moment for its token is not let in. It has PATIENCE seconds for it.",
        )


async def _stay(server: LiveServer, patience_is_over: "asyncio.Future[Any]") -> None:
    """Two clients stay side by side, and talk when those who said nothing have been closed."""
    async with peer(server, PATH, origin=OURS[0]) as ada, peer(server, PATH, origin=OURS[1]) as grace:
        both = (ada, grace)
        for one, token in ((ada, "secret-1"), (grace, "secret-2")):
            await one.say(json.dumps({"token": token}))
            await until(lambda one=one: one.closed is not None or one.texts, 1)
        over_for_them = clock.now() + 1.2 * PATIENCE  # those who say nothing may have come sooner
        await asyncio.wait({patience_is_over})
        await asyncio.sleep(over_for_them - clock.now())
        for text in ("hello", "again"):
            for one in both:
                await one.say(text)
        await until(lambda: all(len(one.texts) >= 3 or one.closed is not None for one in both), 0.7)
    probe = Probe(
        f"ada and grace let in, who each say two things more than {PATIENCE} s later", "an answer to each, in its name"
    )
    for one, name in ((ada, "ada"), (grace, "grace")):
        if one.closed is not None:
            raise probe.saw(
                f"{quoted(one.texts, 60)}, then closed with {one.closed}",
                "A client that was let in is thrown out: the deadline goes around the whole conversation. It is for "
                "the first message alone.",
            )
        if one.texts[1:] != [f"{name} said hello", f"{name} said again"]:
            raise probe.saw(
                f"{quoted(one.texts[1:], 80)} at {name}",
                "Each client by itself is answered in its own name, and two at once are not. What belongs to one "
                "connection is in a local variable of its handler."
                if any("said" in str(text) for text in one.texts)
                else f"After a while, a client that was let in is not answered any more. {last_error(server)}".strip(),
            )


async def _leaves(server: LiveServer) -> None:
    """A client that leaves is no error: with a close, and without a word."""
    for how in ("close", "nothing", "after"):
        async with peer(server, PATH, origin=OURS[0]) as one:
            port = one.port
            if how == "after":
                await one.say(RIGHT)
                await until(lambda one=one: one.closed is not None or one.texts, 1)
            if how == "nothing":
                one.gone()
            else:
                await one.socket.close()
            await until(
                lambda port=port: any(one.kind == "disconnect" for one in server.record.conversation(port)), 0.3
            )
    await until(lambda: server.errors, 0.05)


def _require_1008(server: LiveServer, closed: int, probe: Probe, what: str) -> None:
    if closed != 1008:
        raise probe.saw(
            f"closed with {closed}. {last_error(server)}".strip(),
            f"For {what}, the client sees {closed}"
            + (
                (
                    ": nobody caught what was raised, "
                    if last_error(server)
                    else ": the endpoint returned without close(), "
                )
                + "and the connection broke. "
                if closed == 1006
                else ". "
            )
            + "Whatever is wrong with the first message, it is the same close: 1008.",
        )
