"""What the exercises of "Background work" are judged with."""

from app_snippets.background_work.checks.common import told_by

OF_ONE = """ERROR sign-up: a task failed
Traceback (most recent call last):
  File "your cell", line 45, in everything
    await asyncio.gather(
    ...<3 lines>...
        run_in_threadpool(send_welcome, address), subscribe(client, address), audit(client, address)
    )
  File "smtplib.py", line 503, in getreply
    raise SMTPServerDisconnected("Connection unexpectedly closed")
smtplib.SMTPServerDisconnected: Connection unexpectedly closed
WARNING sign-up: and then
    an indented line of somebody's own"""

OF_A_GROUP = """ERROR sign-up: something failed
  + Exception Group Traceback (most recent call last):
  |   File "your cell", line 44, in everything
  |     async with asyncio.TaskGroup() as group:
  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "your cell", line 37, in subscribe
    |     response.raise_for_status()
    |     ~~~~~~~~~~~~~~~~~~~~~~~~~^^
    | httpx.HTTPStatusError: Server error '503 Service Unavailable'
    +------------------------------------"""


def test_of_a_traceback_the_functions_and_exceptions_are_told_and_no_source_line() -> None:
    told = told_by(OF_ONE.splitlines()).splitlines()
    assert told == [
        "ERROR sign-up: a task failed",
        "Traceback (most recent call last):",
        "everything",
        "getreply",
        "smtplib.SMTPServerDisconnected: Connection unexpectedly closed",
        "WARNING sign-up: and then",
        "    an indented line of somebody's own",
    ]


def test_so_it_is_in_a_group() -> None:
    told = told_by([OF_A_GROUP])
    assert "\nsubscribe\nhttpx.HTTPStatusError: Server error '503" in told
    assert "TaskGroup()" not in told
    assert "raise_for_status" not in told
