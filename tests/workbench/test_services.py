"""The services: real ones, that leave nothing behind."""

import asyncio
import gc
import smtplib
import socket
import threading
import time

import pytest

from workbench.around.services import mail_server


def send(host: str, port: int, to: str) -> None:
    with smtplib.SMTP(host, port, local_hostname="test.example", timeout=5) as smtp:
        smtp.sendmail("us@example.org", to, f"To: {to}\r\nSubject: Welcome, dear\r\n\r\nHello.")


def test_a_mail_is_received_after_its_delay() -> None:
    with mail_server(delay=0.2) as mail:
        begun = time.perf_counter()
        send(mail.host, mail.port, "ada@example.org")
    (one,) = mail.messages
    assert (one.to, one.subject) == ("ada@example.org", "Welcome, dear")
    assert one.at - begun > 0.19


def test_while_it_is_down_nothing_is_received() -> None:
    with mail_server() as mail:
        mail.down = True
        with pytest.raises(smtplib.SMTPServerDisconnected):
            send(mail.host, mail.port, "ada@example.org")
        mail.down = False
        send(mail.host, mail.port, "grace@example.org")
    assert [one.to for one in mail.messages] == ["grace@example.org"]


async def test_it_ends_at_once_whoever_is_connected() -> None:
    threads = set(threading.enumerate())
    mail = mail_server(delay=30)
    sending = asyncio.create_task(asyncio.to_thread(send, mail.host, mail.port, "ada@example.org"))
    idle = socket.create_connection((mail.host, mail.port))
    await asyncio.sleep(0.2)
    await asyncio.to_thread(mail.stop)
    mail.stop()
    with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionError)):
        await sending
    idle.close()
    assert mail.messages == []
    assert not [one for one in set(threading.enumerate()) - threads if one.name == "mail server"]
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((mail.host, mail.port))
    del idle
    gc.collect()
    assert not [one for one in gc.get_objects() if isinstance(one, socket.socket) and one.fileno() != -1
                and one.family == socket.AF_INET and mail.port in _ports(one)]  # fmt: skip


def _ports(one: socket.socket) -> tuple[int, ...]:
    try:
        return (one.getsockname()[1],)
    except OSError:
        return ()
