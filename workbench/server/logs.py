"""Server logs go to the server's own buffer, never to the notebook's output.

Each server thread sets `current_logs`. Tasks and worker threads inherit it, so that a line finds its
server whichever thread it is logged from.
"""

import logging
from collections import deque
from contextvars import ContextVar

current_logs: ContextVar["deque[str] | None"] = ContextVar("current_logs", default=None)

_FORMAT = logging.Formatter("%(levelname)s %(name)s: %(message)s")


class _ToCurrentServer(logging.Handler):
    """Append to the logs of the server that the line comes from; elsewhere do what `otherwise` does."""

    def __init__(self, otherwise: logging.Handler | None = None) -> None:
        super().__init__()
        self._otherwise = otherwise
        self.setFormatter(_FORMAT)

    def emit(self, record: logging.LogRecord) -> None:
        logs = current_logs.get()
        if logs is not None:
            logs.append(self.format(record))
        elif self._otherwise is not None and record.levelno >= self._otherwise.level:
            self._otherwise.handle(record)


_handler = _ToCurrentServer()


def install() -> None:
    """Route uvicorn's, asyncio's and every otherwise unhandled log line.

    Called for each server, because a uvicorn that is started by hand configures these loggers, too.
    """
    if not isinstance(logging.lastResort, _ToCurrentServer):
        logging.lastResort = _ToCurrentServer(logging.lastResort)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers = [_handler] if name == "uvicorn" else []
        logger.propagate = name != "uvicorn"
        logger.setLevel(logging.INFO)
