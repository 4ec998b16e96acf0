"""A real uvicorn server in a background thread of this process, and what it saw.

The ground floor, with `clock` beside it: everybody may enter, and it knows nobody but them.
"""

from workbench.server.asgi import ServeError, as_asgi
from workbench.server.live import LiveServer, ServerGivenUp, running, serve

__all__ = ["LiveServer", "ServeError", "ServerGivenUp", "as_asgi", "running", "serve"]
