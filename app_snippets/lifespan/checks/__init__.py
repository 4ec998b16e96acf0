"""How the exercises of "Lifespan and shared clients" are judged, in their order."""

from app_snippets.lifespan.checks import three_resources, one_client, within_budget  # noqa: F401, I001
