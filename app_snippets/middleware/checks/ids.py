"""Which ids of a caller are kept, and which are replaced: for the exercise "Request id and true duration"."""

import contextlib
import re
import string
from contextvars import ContextVar
from typing import Any

from app_snippets.middleware.checks.common import Answered, failure
from workbench.judge import Answer, Probe, quoted

KEPT = {
    "64 characters": "x" * 64,
    "one character": "7",
    "every letter and digit, and `-`": string.ascii_letters + string.digits + "-",
}
LONGER, LONG, FORGING, TAB = "65 characters", "10,000 characters", "`; path=/admin status=200`", "a tab in it"
UNDERSCORE, EMPTY = "an underscore in it", "no characters"
REFUSED: dict[str, str | bytes] = {
    LONGER: "x" * 65,
    LONG: "x" * 10_000,
    FORGING: "; path=/admin status=200",
    TAB: "order\t7",
    UNDERSCORE: "order_7",
    "the byte 0xE9, which is no ASCII": b"order\xe9",
    EMPTY: "",
}
BEFORE = "before"
WITHOUT_AN_ID = [{}, {"x-request-id": "order_1"}, {"x-request-id": "order_2"}]  # that is of any use
IN_A_ROW = 200  # requests that get ids of the app's own, as quickly as one after another can
PART = "A part of the caller's id was kept, and who has sent it cannot know which. Replace it by one of your own."


def in_words(words: str) -> str:
    """The call with such an id."""
    return f"`GET /id` with an x-request-id of {words}"


def require_kept(answers: dict[str, Answered]) -> None:
    """Ids on this side of every bound are in the answers as they were sent."""
    for words, id in KEPT.items():
        got = answers[words].one("x-request-id") or ""
        if got != id:
            raise Probe(in_words(words), "that id in the answer").saw(quoted(got, 40), _why_not_kept(id, got))


def require_refused(answers: dict[str, Answered]) -> None:
    """Ids on the other side have been replaced by others, of which no part is the caller's."""
    got = {words: answers[words].one("x-request-id") or "" for words in REFUSED}
    sent = {words: id.decode("latin-1") if isinstance(id, bytes) else id for words, id in REFUSED.items()}
    taken = [words for words in REFUSED if got[words] == sent[words]]
    part = [words for words in REFUSED if sent[words] and got[words].startswith(sent[words][:5])]
    for words in REFUSED:
        if answers[words].status != 200:
            raise Probe(in_words(words), "status 200").saw(**failure(answers[words]))
    cleaned = UNDERSCORE in part and UNDERSCORE not in taken
    for words in part if cleaned else taken or part:
        raise Probe(in_words(words), "an id of your own").saw(
            f"{quoted(got[words], 40)}, {len(got[words]):,} characters",
            _why_taken(set(taken)) if taken and not cleaned else PART,
        )
    for words, id in got.items():
        if not re.fullmatch(r"[\x21-\x7e]{1,64}", id):
            raise Probe(in_words(words), "an id of your own, of 1 to 64 visible ASCII characters").saw(
                f"{quoted(id, 40)}, {len(id):,} characters", "Your own id breaks the rule for own ids."
            )


def _why_not_kept(id: str, got: str) -> str:
    if got.lower() == id.lower():
        return (
            "The id came back in other letters: whoever searches for it as it was sent finds nothing. Keep it as it is."
        )
    if len(id) == 64:
        return "64 characters are still allowed, and this id was replaced. In a regular expression: {1,64}."
    if len(id) == 1:
        return "One character is enough, and this id was replaced. In a regular expression: {1,64}."
    return "All of its characters are allowed, capitals, digits and `-` included, and this id was replaced."


def _why_taken(taken: set[str]) -> str:
    if {LONG, FORGING} <= taken:
        return (
            "The caller's id is trusted, whatever is in it, and it goes into your log: anyone can fill the log, or "
            "write a line that lies. Take an id over only when all of it is as agreed (re.fullmatch), and else make "
            "your own."
        )
    if {LONG, TAB} <= taken:
        return (
            "The beginning of the id was looked at, and not all of it: `match` is content with a beginning. "
            "re.fullmatch() with {1,64} looks at the whole id."
        )
    if LONG in taken:
        return "Its characters are bounded, and its length is not: anyone can fill your log. {1,64}, and not `+`."
    if LONGER in taken:
        return "The bound is too far off: 64 characters are allowed, and 65 are not."
    if FORGING in taken:
        return (
            "The length is bounded, and what is in the id is not. A space is enough to write a field of the log line "
            "that lies: allow letters, digits and `-` only."
        )
    if taken == {EMPTY}:
        return "The caller's header is there, and there is nothing in it. No id is no id: make one."
    return (
        "More characters are taken over than agreed: `\\w` stands for `_` and for the letters of every alphabet, as "
        "str.isalnum() does. Allow A-Z, a-z, 0-9 and `-` only."
    )


async def require_own_ids_and_reset(answer: Answer) -> None:
    """Own ids differ, however quickly requests come, and the variable is what it was before, after a bug, too."""
    app, variable = await answer.load(), answer["request_id"]
    if not isinstance(variable, ContextVar):
        return

    async def in_one_task() -> tuple[list[str], dict[str, str]]:
        variable.set(BEFORE)
        ids = [await _directly(app, "/missing", WITHOUT_AN_ID[n % len(WITHOUT_AN_ID)]) for n in range(IN_A_ROW)]
        after = {"/missing": variable.get()}
        await _directly(app, "/broken")
        return ids, after | {"/broken": variable.get()}

    ids, after = await answer.run(in_one_task, timeout=2)
    for path, value in after.items():
        if value != BEFORE:
            raise Probe(
                f"`GET {path}` from a task that then goes on, as a test does with httpx.ASGITransport",
                f"`request_id` is {BEFORE!r} again, as before",
            ).saw(f"it is {quoted(value, 40)}", _why_not_reset(value, path))
    if len(set(ids)) < IN_A_ROW:
        raise Probe(
            f"{IN_A_ROW} requests, one right after another, with no id or one that is refused", f"{IN_A_ROW} ids"
        ).saw(f"{len(set(ids))}, the first of them {quoted(ids[0], 40)}", _why_alike(ids))


def _why_not_reset(value: str, path: str) -> str:
    if value == "-":
        return (
            "The variable got its default, and not what it was before: a task that had a value of its own has lost it. "
            "`request_id.reset(token)` brings it back."
        )
    if path == "/broken":
        return (
            "After a request that went well the variable is reset, after one that raised it is not. The reset belongs "
            "into `finally`."
        )
    return (
        "The variable was set and not reset: what the same task does next has the id of a request that is over. `token "
        "= request_id.set(id)`, and `request_id.reset(token)` at the end."
    )


def _why_alike(ids: list[str]) -> str:
    if len(set(ids)) == 1:
        return (
            "All requests got the same id. Make one for each, in `__call__` and not when the app is built; and not by "
            "the clock, which is too coarse: uuid.uuid4().hex."
        )
    none, one, other = (set(ids[start :: len(WITHOUT_AN_ID)]) for start in range(len(WITHOUT_AN_ID)))
    if len(one) == len(other) == 1 and one != other:
        return (
            "The id is made from the one that was refused, so that it is still the caller who chooses. Make one that "
            "has nothing of it: uuid.uuid4().hex."
        )
    if len(none) == 1:
        return (
            f"All requests that come with no id get the same one, {quoted(ids[0], 40)}. Each of them needs one of its "
            "own, too: uuid.uuid4().hex."
        )
    return (
        "Different requests got the same id. A clock is too coarse for one, a few digits are soon used up, and what "
        "id() gives is given again. uuid.uuid4().hex is made for it."
    )


async def _directly(app: Any, path: str, headers: dict[str, str] | None = None) -> str:
    """One request that is made without a server, in the task that asks: the `x-request-id` of its answer."""
    ids: list[bytes] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        ids.extend(value for name, value in message.get("headers", ()) if name.lower() == b"x-request-id")

    sent = [(b"host", b"test"), *((name.encode(), value.encode()) for name, value in (headers or {}).items())]
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
    }
    scope |= {"scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": ""}
    scope |= {"headers": sent, "client": ("test", 1), "server": ("test", 80), "state": {}}
    with contextlib.suppress(Exception):
        await app(scope, receive, send)
    return ids[0].decode("latin-1") if ids else ""
