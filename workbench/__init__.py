"""The bench under every notebook of the course: a live server, what it saw, pictures, claims, exercises."""

from workbench.around.load import Burst, Call, Heartbeat, burst, heartbeat
from workbench.around.upstream import Reply, Upstream, upstream
from workbench.notebook.commands import check, hint, progress, solution
from workbench.notebook.kernel import attach as _attach
from workbench.notebook.kernel import finish
from workbench.server.asgi import ServeError
from workbench.server.live import LiveServer, serve
from workbench.show.claims import ClaimFailed, claim
from workbench.show.pages import page
from workbench.show.pictures import Span, bars, children, curve, gauge, timeline

__all__ = [
    "Burst",
    "Call",
    "ClaimFailed",
    "Heartbeat",
    "LiveServer",
    "Reply",
    "ServeError",
    "Span",
    "Upstream",
    "bars",
    "burst",
    "check",
    "children",
    "claim",
    "curve",
    "finish",
    "gauge",
    "heartbeat",
    "hint",
    "page",
    "progress",
    "serve",
    "solution",
    "timeline",
    "upstream",
]

_attach()
