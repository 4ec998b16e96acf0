"""How the exercises of "Background work" are judged, in their order."""

from app_snippets.background_work.checks import tasks, supervised, outbox  # noqa: F401, I001
