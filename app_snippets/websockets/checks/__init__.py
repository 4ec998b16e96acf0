"""How the exercises of "WebSockets" are judged, in their order."""

from app_snippets.websockets.checks import room_hub, limits, door  # noqa: F401, I001
