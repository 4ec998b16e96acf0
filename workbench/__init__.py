"""The bench under every notebook of the course: a live server, what it saw, pictures, claims, exercises."""

from workbench import notebook as _notebook
from workbench.claims import ClaimFailed, claim
from workbench.exercises import check, hint, progress, solution
from workbench.load import Burst, Call, Heartbeat, burst, heartbeat
from workbench.notebook import finish
from workbench.pictures import bars, timeline
from workbench.server import LiveServer, ServeError, serve

__all__ = [
    "Burst",
    "Call",
    "ClaimFailed",
    "Heartbeat",
    "LiveServer",
    "ServeError",
    "bars",
    "burst",
    "check",
    "claim",
    "finish",
    "heartbeat",
    "hint",
    "progress",
    "serve",
    "solution",
    "timeline",
]

_notebook.attach()
