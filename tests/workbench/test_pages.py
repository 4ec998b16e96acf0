"""Live pages: what a cell shows within JupyterLab and elsewhere, and apps below a proxy's path, offline."""

from typing import Any

import pytest
from fastapi import FastAPI, Request, WebSocket

from workbench import LiveServer, page, serve
from workbench.build.sanitizing import sanitized

PREFIX = {"x-forwarded-context": "/user/x/proxy/8000"}  # as jupyter-server-proxy says it

app = FastAPI(title="Pages")


@app.get("/links")
def links(request: Request) -> str:
    return str(request.url_for("links").path)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    outputs: list[dict[str, str]] = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: outputs.append(data))
    for name in ("JPY_SESSION_NAME", "JUPYTERHUB_SERVICE_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    return outputs


def test_outside_jupyterlab_it_is_a_link(shown: Any) -> None:
    with serve(app) as server:
        page(server, "/?room=red&name=%3Cb%3E")
        assert shown == [
            {
                "text/html": f'<a href="{server.url}/?room=red&amp;name=%3Cb%3E" target="_blank">'
                "The page /?room=red&amp;name=%3Cb%3E of the server &#x27;app&#x27;</a>",
                "text/plain": f"The page /?room=red&name=%3Cb%3E of the server 'app': "
                f"{server.url}/?room=red&name=%3Cb%3E",
            }
        ]


def test_in_jupyterlab_it_is_a_frame_and_compares_equal(shown: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(app) as server:
        page(server, "/chat")
        monkeypatch.setenv("JPY_SESSION_NAME", "notebooks/10_websockets.ipynb")
        monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/x/")
        page(server, "/chat", height=300)
        elsewhere, framed = shown
        assert f'src="/user/x/proxy/{server.port}/chat"' in framed["text/html"]
        assert 'height="300"' in framed["text/html"]
        assert "iframe" not in elsewhere["text/html"]
        for kind in ("text/html", "text/plain"):
            assert sanitized(framed[kind]) == sanitized(elsewhere[kind])
            assert str(server.port) not in sanitized(framed[kind])


def test_the_base_url_is_that_of_the_kernels_own_jupyter_server(
    shown: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", "x.ipynb")
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("JPY_PARENT_PID", "7")
    with serve(app) as server:
        page(server)
        (tmp_path / "jpserver-7.json").write_text('{"base_url": "/mine/"}')
        (tmp_path / "jpserver-8.json").write_text('{"base_url": "/another/"}')
        page(server)
        monkeypatch.setenv("JPY_PARENT_PID", "no process id")
        (tmp_path / "jpserver-7.json").unlink()
        page(server)
        bases = [one["text/html"].partition('href="')[2].partition("proxy/")[0] for one in shown]
        assert bases == ["/", "/mine/", "/another/"]


def test_what_cannot_be_shown_is_said() -> None:
    with serve(app) as server, pytest.raises(ValueError, match="A path begins with a slash"):
        page(server, "chat")
    with pytest.raises(RuntimeError, match="This server has stopped"):
        page(server)


async def get(server: LiveServer, path: str, **headers: str) -> Any:
    async with server.client() as client:
        return await client.get(path, headers=headers)


async def test_an_app_below_a_proxys_path_links_to_itself_there() -> None:
    with serve(app) as server:
        assert (await get(server, "/links")).json() == "/links"
        assert (await get(server, "/links", **PREFIX)).json() == "/user/x/proxy/8000/links"
        assert [one.path for one in server.record.requests] == ["/links", "/links"]


async def test_websockets_are_told_the_path_too() -> None:
    from websockets.asyncio.client import connect

    chat = FastAPI()

    @chat.websocket("/rooms/{room}")
    async def rooms(websocket: WebSocket, room: str) -> None:
        await websocket.accept()
        await websocket.send_text(websocket.url_for("rooms", room=room).path)
        await websocket.close()

    with serve(chat) as server:
        async with connect(f"{server.ws_url}/rooms/red", additional_headers=PREFIX) as client:
            assert await client.recv() == "/user/x/proxy/8000/rooms/red"


@pytest.mark.parametrize("headers", [{}, PREFIX], ids=["direct", "proxied"])
async def test_the_documentation_needs_nothing_from_outside(headers: dict[str, str]) -> None:
    below = headers.get("x-forwarded-context", "")
    with serve(app) as server:
        for path in ("/docs", "/redoc"):
            shown = await get(server, path, **headers)
            assert shown.status_code == 200
            assert "https://" not in shown.text
            assert f'src="{below}/static-offline-docs/' in shown.text
            assert f"{below}/openapi.json" in shown.text
        for name in ("swagger-ui-bundle.js", "swagger-ui.css", "redoc.standalone.js", "favicon.png"):
            assert (await get(server, f"/static-offline-docs/{name}", **headers)).status_code == 200
        assert (await get(server, "/static-offline-docs/none", **headers)).status_code == 404


async def test_an_app_without_documentation_stays_so() -> None:
    for bare in (FastAPI(openapi_url=None), FastAPI(docs_url=None, redoc_url=None)):
        with serve(bare) as server:
            assert (await get(server, "/docs")).status_code == 404
