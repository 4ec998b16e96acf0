"""How the exercises of "Blocking and waiting" are judged, in their order."""

from app_snippets.blocking_and_waiting.checks import report, dependency, lag  # noqa: F401, I001
