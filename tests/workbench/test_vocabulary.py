"""The words that checks are written with: what they say is so."""

import ast
import asyncio
import time
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from workbench.around import Reply, ask, upstream
from workbench.judge import NOT_YET, Probe, at_each_turn, calls, functions, held_at, looking, nodes
from workbench.judge.cell import frames_of
from workbench.judge.source import changed_parts
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


async def test_a_reply_can_break_off() -> None:
    with upstream({"/half": Reply(0, whole=False)}) as service, pytest.raises(httpx.RemoteProtocolError):
        async with service.server.client() as client:
            await client.get("/half")


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


async def test_the_frames_in_which_a_coroutine_waits() -> None:
    async def inner() -> int:
        await asyncio.Event().wait()
        return 1

    async def steps() -> AsyncIterator[int]:
        yield await inner()

    async def outer() -> None:
        async for _ in steps():
            pass

    task = asyncio.create_task(outer())
    await asyncio.sleep(0)
    assert [frame.f_code.co_name for frame in frames_of(task.get_coro())] == ["outer", "steps", "inner", "wait"]
    task.cancel()


def test_what_was_given_and_is_changed() -> None:
    starter = "LIMIT = 3\n\ndef given(): return LIMIT\n\ndef yours(): ..."
    answer = starter.replace("...", "return 1")
    assert changed_parts(starter, answer, answer.replace("return LIMIT", "return LIMIT  # as it was")) == []
    assert changed_parts(starter, answer, answer.replace("LIMIT = 3", "LIMIT = 4")) == ["LIMIT"]
    assert changed_parts(starter, answer, "LIMIT = 3\n\nasync def given(): return LIMIT") == ["given"]


async def test_the_turns_of_a_loop() -> None:
    may_sleep: list[bool] = []
    after: list[int] = []
    with at_each_turn(asyncio.get_running_loop(), may_sleep.append, lambda: after.append(len(may_sleep))):
        await asyncio.sleep(0)
        await asyncio.sleep(0.01)
    turns = len(may_sleep)
    await asyncio.sleep(0)
    assert may_sleep[0] is False
    assert True in may_sleep
    assert after == list(range(1, len(after) + 1))
    assert len(may_sleep) == turns
