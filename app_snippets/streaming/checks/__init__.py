"""How the exercises of "Streaming responses" are judged, in their order."""

from app_snippets.streaming.checks import csv_export, json_lines, session  # noqa: F401
