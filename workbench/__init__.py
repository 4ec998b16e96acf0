"""The bench under every notebook of the course: a live server, what it saw, pictures, claims, exercises."""

from workbench import notebook as _notebook
from workbench.asgi import ServeError
from workbench.claims import ClaimFailed, claim
from workbench.exercises import check, hint, progress, solution
from workbench.load import Burst, Call, Heartbeat, burst, heartbeat
from workbench.notebook import finish
from workbench.pages import page
from workbench.pictures import Span, bars, children, curve, gauge, timeline
from workbench.server import LiveServer, serve
from workbench.upstream import Reply, Upstream, upstream

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

_notebook.attach()
