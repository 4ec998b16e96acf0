"""How the exercises of "Thread limits" are judged, in their order."""

from app_snippets.thread_limits.checks import bulkhead, deadline  # noqa: F401
