"""Real services for one notebook, each on a free port of 127.0.0.1 and gone with its `stop()`.

>>> with mail_server(delay=0.2) as mail:
...     smtplib.SMTP(mail.host, mail.port).sendmail(...)
...     mail.messages[0].at
"""

import asyncio
import email
import email.policy
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from aiosmtpd.smtp import SMTP

from workbench import clock

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Mail:
    """A mail as it was received. `at`: when its last byte had come, in `time.perf_counter()` seconds."""

    to: str
    subject: str
    at: float


class MailServer:
    """A running SMTP server. Made by `mail_server`; `stop()` or the end of a `with` block ends it.

    messages: the mails received, in that order.
    delay: seconds that each mail takes, before its text is received. May be changed at any time.
    down: while True, each connection is closed at once, and its client gets an SMTPServerDisconnected.
    """

    host = HOST

    def __init__(self, delay: float) -> None:
        self.delay = delay
        self.down = False
        self.messages: list[Mail] = []
        self.port = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._started = threading.Event()
        self._transports: set[asyncio.Transport] = set()
        self._thread = threading.Thread(target=self._run, name="mail server", daemon=True)

    def start(self) -> None:
        """Start the thread, and wait until the port is open. Raises OSError where it cannot be."""
        self._thread.start()
        self._started.wait()
        if not self.port:
            raise OSError(f"no SMTP server could be started on {HOST}")

    def stop(self) -> None:
        """Close the port and every connection, and end the thread. Twice is fine."""
        if self._thread.is_alive() and self._loop is not None and self._stopping is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()

    def __enter__(self) -> "MailServer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # its thread

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        finally:
            self._started.set()

    async def _main(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        server = await self._loop.create_server(lambda: _Connection(self), HOST, 0)
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stopping.wait()
        server.close()
        for transport in list(self._transports):
            transport.abort()
        await asyncio.sleep(0)  # an aborted transport closes its socket in the loop's next round
        await asyncio.sleep(0)

    # what aiosmtpd asks of a handler

    async def handle_MAIL(  # noqa: N802
        self, smtp: SMTP, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        """Take the time that a mail takes, before anything of it is there."""
        await asyncio.sleep(self.delay)
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, smtp: SMTP, session: Any, envelope: Any) -> str:  # noqa: N802
        """Note a mail that is there."""
        message = email.message_from_bytes(envelope.content or b"", policy=email.policy.default)
        self.messages.append(Mail(", ".join(envelope.rcpt_tos), str(message["subject"] or ""), clock.now()))
        return "250 OK"


class _Connection(SMTP):
    """One connection, known to its server for as long as it lasts."""

    def __init__(self, server: MailServer) -> None:
        super().__init__(server, hostname="mail.example", loop=asyncio.get_running_loop())
        self._server = server

    def connection_made(self, transport: Any) -> None:
        if self._server.down:
            transport.abort()
            return
        self._mine: asyncio.Transport = transport
        self._server._transports.add(transport)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        if hasattr(self, "_mine"):
            self._server._transports.discard(self._mine)
            super().connection_lost(error)


def mail_server(*, delay: float = 0.0) -> MailServer:
    """Start a real SMTP server in a background thread, and return when it can be reached.

    delay: seconds that each mail takes.
    """
    server = MailServer(delay)
    server.start()
    return server
