"""The apps of "Background work", each served by itself."""

import gc
from collections.abc import Iterator

import pytest

from workbench.around.services import MailServer, mail_server
from workbench.clock import until
from workbench.server import LiveServer, serve

FOLDER = "app_snippets.background_work"


async def ended(server: LiveServer) -> bool:
    """Wait until every request has ended, its background tasks included."""
    return await until(lambda: all(one.done is not None for one in list(server.record.requests)))


@pytest.fixture
def mail(monkeypatch: pytest.MonkeyPatch) -> Iterator[MailServer]:
    with mail_server(delay=1.0) as server:
        monkeypatch.setenv("MAIL_HOST", server.host)
        monkeypatch.setenv("MAIL_PORT", str(server.port))
        yield server


async def test_one_waits_for_the_mail_and_the_other_does_not(mail: MailServer) -> None:
    with serve(f"{FOLDER}.sign_up:app") as server:
        async with server.client() as client:
            await client.post("/sign-up-and-wait/ada@example.org")
            assert [one.to for one in mail.messages] == ["ada@example.org"]
            assert (await client.post("/sign-up/grace@example.org")).status_code == 201
            assert len(mail.messages) == 1
            assert await until(lambda: len(mail.messages) == 2)
    assert mail.messages[1].subject == "Welcome"
    assert not server.errors


async def test_a_mail_server_that_is_down_is_the_callers_matter_only_where_the_caller_waits(mail: MailServer) -> None:
    mail.down = True
    with serve(f"{FOLDER}.sign_up:app") as server:
        async with server.client() as client:
            assert (await client.post("/sign-up-and-wait/ada@example.org")).status_code == 500
        async with server.client() as client:
            assert (await client.post("/sign-up/grace@example.org")).status_code == 201
        assert await until(lambda: len(server.errors) == 2)
    assert all("SMTPServerDisconnected" in line for line in server.errors)
    assert mail.messages == []


async def test_an_address_cannot_smuggle_a_header_into_the_mail(mail: MailServer) -> None:
    with serve(f"{FOLDER}.sign_up:app") as server:
        async with server.client() as client:
            answer = await client.post("/sign-up/ada@example.org%0d%0aBcc:%20eve@example.org")
        assert await until(lambda: server.errors or answer.status_code >= 400)
    assert mail.messages == []


async def test_tasks_run_in_a_row_and_a_failure_drops_the_rest() -> None:
    with serve(f"{FOLDER}.wrong_tasks_in_a_row:app") as server:
        for address in ("ada@example.org", "nobody", "grace@example.org"):
            async with server.client() as client:  # when a task fails, the server closes the connection
                assert (await client.post(f"/sign-up/{address}")).status_code == 201
            assert await ended(server)
        async with server.client() as client:
            log = (await client.get("/log")).json()
    assert "ada@example.org has signed up" in log
    assert "grace@example.org has signed up" in log
    assert [line for line in log if "nobody" in line] == ["mail to nobody begins"]
    assert len(server.errors) == 1


async def test_two_of_three_tasks_are_dropped() -> None:
    with serve(f"{FOLDER}.wrong_two_sets_of_tasks:app") as server:
        async with server.client() as client:
            statuses = [(await client.post(path)).status_code for path in ("/own-response", "/refused")]
            assert await ended(server)
            log = (await client.get("/log")).json()
    assert statuses == [200, 409]
    assert log == ["the response's own"]
    assert not server.errors


@pytest.mark.parametrize(("app", "left"), [("wrong_forgotten_task", []), ("held_by_a_group", ["ada@example.org"])])
async def test_only_a_task_that_somebody_holds_survives(
    app: str, left: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    gc.disable()
    try:
        with serve(f"{FOLDER}.{app}:app") as server:
            async with server.client() as client:
                assert (await client.post("/sign-up/ada@example.org")).status_code == 201
                assert (await client.post("/collect-garbage")).json() == left
                for address in left:
                    await client.post(f"/confirm/{address}")
    finally:
        gc.enable()
    said = "welcome, ada@example.org" if left else "Task was destroyed but it is pending"
    assert said in caplog.text


async def test_the_group_stops_even_while_somebody_is_waited_for() -> None:
    with serve(f"{FOLDER}.held_by_a_group:app", grace=0.5) as server:
        async with server.client() as client:
            await client.post("/sign-up/ada@example.org")
            await client.post("/confirm/ada@example.org")
    assert not server.alive
    assert not server.errors
