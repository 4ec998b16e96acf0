"""How the exercises of "Server-sent events" are judged, in their order."""

from app_snippets.server_sent_events.checks import progress, fan_out, graceful_end  # noqa: F401, I001
