"""The words that checks are written with: what they say is so."""

import ast
import asyncio
import time

from fastapi import FastAPI

from workbench.around import Reply, ask, upstream
from workbench.judge import NOT_YET, Probe, calls, functions, held_at, looking, nodes
from workbench.server import serve

SOURCE = """
async def outer(lock):
    async with lock:
        await asyncio.gather(inner(), gather)

def inner(): ...
"""


def test_a_probe_says_what_it_tried_expected_and_saw() -> None:
    verdict = Probe("two calls", "both").saw("one", "They take turns.").verdict
    assert (verdict.state, verdict.tried, verdict.expected) == (NOT_YET, "two calls", "both")
    assert (verdict.seen, verdict.diagnosis) == ("one", "They take turns.")


def test_a_verdict_can_have_a_better_diagnosis() -> None:
    verdict = Probe("two calls", "both").saw("one", "They take turns.").because("A lock lets one in.").verdict
    assert (verdict.tried, verdict.expected, verdict.seen) == ("two calls", "both", "one")
    assert verdict.diagnosis == "A lock lets one in."


def test_what_is_in_a_source() -> None:
    assert [one.name for one in functions(SOURCE)] == ["outer", "inner"]
    assert len(calls(SOURCE, "gather")) == 1
    assert calls(functions(SOURCE)[1], "gather") == []
    assert len(nodes(SOURCE, ast.With, ast.AsyncWith)) == 1


def test_looking_goes_on_while_the_block_runs_and_ends_with_it() -> None:
    with looking(lambda: "here", every=0.001) as seen:
        while len(seen) < 20:
            time.sleep(0.001)
    number = len(seen)
    time.sleep(0.02)
    assert len(seen) == number
    assert held_at(seen) == "here"
    assert held_at([*seen, *[""] * number]) == ""


async def test_a_reply_waits_for_an_event_and_not_for_ever() -> None:
    opened = asyncio.Event()
    waiting = Reply(0, "in time", ready=opened.is_set)
    with upstream({"/waits": waiting, "/in-vain": Reply(0, "late", ready=lambda: False, patience=0.05)}) as service:
        asking = asyncio.create_task(ask(service.server, "/waits"))
        in_vain = await ask(service.server, "/in-vain")
        assert not asking.done()
        opened.set()
        assert (await asking).parsed == "in time"
        await service.settled()
    assert in_vain.parsed == "late"
    assert service.finished == ["/in-vain", "/waits"]


async def test_an_answer_that_is_not_json_is_text() -> None:
    app = FastAPI()

    @app.get("/fails")
    async def fails() -> None:
        raise LookupError("on purpose")

    with serve(app) as server:
        call = await ask(server, "/fails")
    assert (call.parsed, call.text) == (None, "Internal Server Error")
    assert len(server.errors) == 1
    assert "LookupError: on purpose" in server.errors[0]
