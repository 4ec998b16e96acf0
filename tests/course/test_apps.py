"""Every app of every lesson starts by itself, describes itself, and stops."""

import json
from pathlib import Path

import pytest

from workbench import course
from workbench.around import burst
from workbench.server import ServeError, serve

NEVER_STARTS = "wrong_lifespan_raises"
APPS = sorted(
    path
    for lesson in course.lessons()
    for path in lesson.folder.glob("*.py")
    if path.stem != "checks" and "FastAPI(" in path.read_text(encoding="utf-8")
)


@pytest.fixture(autouse=True)
def _addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIGURES_URL", "SERVICES_URL"):  # of services that nobody asks here
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("DATABASE_URL", "sqlite+aiosqlite://")  # in memory


@pytest.mark.parametrize("path", APPS, ids=lambda path: f"{path.parent.name}/{path.stem}")
async def test_it_starts_and_stops(path: Path) -> None:
    app = f"app_snippets.{path.parent.name}.{path.stem}:app"
    if path.stem == NEVER_STARTS:
        with pytest.raises(ServeError):
            serve(app)
        return
    with serve(app) as server:
        (described,) = (await burst(server, "/openapi.json", 1)).calls
    assert json.loads(described.body)["paths"]
    assert not server.alive
    assert server.lost == []
    assert not server.errors
