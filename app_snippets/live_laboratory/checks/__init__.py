"""How the exercises of "The live laboratory" are judged, in their order."""

from app_snippets.live_laboratory.checks import wait_started, burst  # noqa: F401, I001
