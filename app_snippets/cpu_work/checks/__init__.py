"""How the exercises of "CPU work" are judged, in their order."""

from app_snippets.cpu_work.checks import pool, chunks  # noqa: F401, I001
