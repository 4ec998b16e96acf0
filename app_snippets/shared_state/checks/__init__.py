"""How the exercises of "Shared state and cancellation" are judged, in their order."""

from app_snippets.shared_state.checks import balance, disconnect, shed  # noqa: F401
