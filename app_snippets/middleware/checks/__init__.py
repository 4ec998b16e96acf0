"""How the exercises of "Middleware" are judged, in their order."""

from app_snippets.middleware.checks import request_id, authentication, cors  # noqa: F401, I001
