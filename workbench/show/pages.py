"""Live pages of a server, shown in the notebook.

JupyterLab carries a page through jupyter-server-proxy, so that it also works where only JupyterLab itself can be
reached: on Binder, on JupyterHub, through a tunnel.
"""

import html
import json
import os
from pathlib import Path

from workbench.server.live import LiveServer


def page(server: LiveServer, path: str = "/", *, height: int = 420) -> None:
    """Show a page of a running server in the notebook. Outside JupyterLab, show a link to it.

    path: the page's path on the server, with its query.
    height: of the frame, in pixels.

    Raises ValueError where the path does not begin with a slash, RuntimeError where the server has stopped.
    """
    from IPython.display import display

    if not path.startswith("/"):
        raise ValueError(f"A path begins with a slash, and {path!r} does not.")
    if not server.alive:
        raise RuntimeError("This server has stopped. Serve the app again, then show its page.")
    direct = f"{server.url}{path}"
    base = _jupyter_base()
    address = direct if base is None else f"{base}proxy/{server.port}{path}"
    words = f"The page {path} of the server {server.name!r}"
    shown = f'<a href="{html.escape(address)}" target="_blank">{html.escape(words)}</a>'
    if base is not None:
        shown += (
            f'<iframe class="workbench-page" src="{html.escape(address)}" title="{html.escape(words)}" '
            f'width="100%" height="{height}" style="border: 1px solid #d9dee7"></iframe>'
        )
    display({"text/html": shown, "text/plain": f"{words}: {direct}"}, raw=True)


def _jupyter_base() -> str | None:
    """The path below which this kernel's Jupyter server answers, with a slash at its end. None without one."""
    if "JPY_SESSION_NAME" not in os.environ:  # set for kernels that a Jupyter server has started
        return None
    if prefix := os.environ.get("JUPYTERHUB_SERVICE_PREFIX"):
        return prefix
    from jupyter_core.paths import jupyter_runtime_dir

    servers = Path(jupyter_runtime_dir())
    own = servers / f"jpserver-{os.environ.get('JPY_PARENT_PID')}.json"
    newest = sorted(servers.glob("jpserver-*.json"), key=lambda one: one.stat().st_mtime, reverse=True)
    for described in [own] if own.exists() else newest[:1]:
        return str(json.loads(described.read_text(encoding="utf-8"))["base_url"])
    return "/"
