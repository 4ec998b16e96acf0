"""How the exercises of "Concurrency in a request" are judged, in their order."""

from app_snippets.concurrency_in_a_request.checks import dashboard, not_found, fan_out  # noqa: F401, I001
