"""Starting a real JupyterLab, and using it through a real browser."""

import contextlib
import json
import os
import secrets
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request

from workbench import course
from workbench.build.kernels import TRANSPORT

ARTIFACTS = course.ROOT / "test-artifacts"
PATIENCE = 180  # seconds that JupyterLab and its pages get for each thing: only what hangs takes so long
LOOK = 200  # milliseconds between two looks at a page: without it there is one for each frame that is drawn
SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
}
QUIET = [  # of Chromium's own traffic
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass
class Lab:
    """A running JupyterLab: `url` ends in a slash, `folder` is its root."""

    url: str
    token: str
    folder: Path


def start_lab(folder: Path, runtime: Path, *options: str) -> tuple["subprocess.Popen[bytes]", Lab]:
    """Start JupyterLab in `folder`, away from the user's own configuration.

    Its kernels talk through files in `runtime`, and it takes the first free port from 8888 on and tells it
    there: a port that a test picked for it could be gone by the time it is bound.
    """
    token = secrets.token_hex(16)
    settings = folder / ".settings"
    settings.mkdir()
    (settings / "overrides.json").write_text(json.dumps(SETTINGS))
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": str(folder / ".config"),
        "JUPYTER_DATA_DIR": str(folder / ".data"),
        "JUPYTER_RUNTIME_DIR": str(runtime),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / ".workspaces"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / ".user-settings"),
    }
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1"),
        *(f"--ConnectionFileMixin.transport={TRANSPORT}", f"--IdentityProvider.token={token}"),
        *(f"--ServerApp.root_dir={folder}", "--LabApp.expose_app_in_browser=True"),
        *(f"--LabApp.app_settings_dir={settings}", *options),
    ]
    with (folder / "jupyterlab.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    deadline = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(OSError, ValueError):
            told = json.loads((runtime / f"jpserver-{process.pid}.json").read_text())
            url = f"http://127.0.0.1:{told['port']}{told['base_url']}"
            urllib.request.urlopen(f"{url}api?token={token}", timeout=2).close()
            return process, Lab(url, token, folder)
        if time.monotonic() > deadline or process.poll() is not None:
            process.kill()
            pytest.fail((folder / "jupyterlab.log").read_text())
        time.sleep(0.2)


@dataclass
class Opened:
    """A notebook that is open in the browser, and the hosts that its page has asked for."""

    page: Page
    hosts: set[str]

    def run_all(self) -> None:
        """Run > Run All Cells, and wait until no prompt is left running, or a cell has failed."""
        self.page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
        self.page.wait_for_function(
            """() => { const prompts = [...document.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')];
                       const model = window.jupyterapp.shell.currentWidget.content.model.toJSON();
                       const failed = cell => cell.outputs?.some(one => one.output_type === "error");
                       if (model.cells.some(failed)) return true;
                       return prompts.length && prompts.every(one => /\\[\\d+\\]/.test(one.textContent)); }""",
            timeout=1000 * PATIENCE,
            polling=LOOK,
        )

    def run_cells(self, sources: dict[int, str]) -> None:
        """Replace the notebook by the import cell and these cells, run them, wait until the kernel is idle."""
        cells = ["from workbench import *", *sources.values()]
        self.page.evaluate(
            """async (cells) => {
                const model = window.jupyterapp.shell.currentWidget.content.model.sharedModel;
                while (model.cells.length) model.deleteCell(0);
                for (const source of cells) model.addCell({cell_type: 'code', source});
                await window.jupyterapp.commands.execute('notebook:run-all-cells').catch(() => {}); }""",
            cells,
        )
        self.page.wait_for_function(
            """count => [...document.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')]
                        .filter(one => /\\[\\d+\\]/.test(one.textContent)).length === count""",
            arg=len(cells),
            timeout=1000 * PATIENCE,
            polling=LOOK,
        )

    def errors(self) -> list[str]:
        """The text of every error output, as it is shown."""
        return self.page.evaluate(
            """() => window.jupyterapp.shell.currentWidget.content.model.toJSON().cells
                     .flatMap(cell => cell.outputs ?? []).filter(one => one.output_type === 'error')
                     .map(one => one.traceback.join('\\n'))"""
        )

    def screenshot(self, name: str) -> Path:
        """The whole notebook from top to bottom as a PNG among the test artefacts."""
        ARTIFACTS.mkdir(exist_ok=True)
        height = self.page.evaluate("""() => Math.max(...[...document.querySelectorAll(
            '.jp-WindowedPanel-outer, .jp-Notebook')].map(one => one.scrollHeight))""")
        self.page.set_viewport_size({"width": 1280, "height": min(height + 160, 16_000)})
        self.page.evaluate("""() => { const notebook = window.jupyterapp.shell.currentWidget.content;
            notebook.activeCellIndex = 0;
            for (const one of document.querySelectorAll('.jp-WindowedPanel-outer')) one.scrollTop = 0;
            return notebook.scrollToItem(0); }""")
        self.page.wait_for_timeout(1000)
        path = ARTIFACTS / f"{name}.png"
        self.page.screenshot(path=path)
        return path

    def close(self) -> None:
        """End the notebook's kernel, and close the notebook. Its page stays, for the next one."""
        self.page.evaluate(
            """async () => { const panel = window.jupyterapp.shell.currentWidget;
                             await panel.sessionContext.shutdown();
                             panel.dispose(); }"""
        )
        self.page.remove_listener("request", self.note)

    def note(self, request: Request) -> None:
        """Note the host that a request goes to."""
        self.hosts.add(request.url.partition("//")[2].partition("/")[0])


def open_notebook(browser: Browser, lab: Lab, name: str) -> Opened:
    """Open a notebook of the lab and wait for its kernel: by its address in a new page, or in the lab's page."""
    context = browser.contexts[0] if browser.contexts else browser.new_context()
    page = next((one for one in context.pages if one.url.startswith(lab.url)), None)
    opened = Opened(page or context.new_page(), set())
    opened.page.on("request", opened.note)
    opened.page.set_viewport_size({"width": 1280, "height": 900})
    path = f"notebooks/{name}"
    if page is None:  # JupyterLab takes ten seconds of the processor's time to start in a page
        opened.page.goto(f"{lab.url}lab/tree/{path}?token={lab.token}&reset")
    else:
        page.evaluate("async path => { await window.jupyterapp.commands.execute('docmanager:open', {path}) }", path)
    opened.page.wait_for_function(
        """path => { const panel = window.jupyterapp?.shell?.currentWidget;
                     const session = panel?.sessionContext;
                     return panel?.context?.path === path
                         && session?.session?.kernel && session.kernelDisplayStatus === 'idle'; }""",
        arg=path,
        timeout=1000 * PATIENCE,
        polling=LOOK,
    )
    opened.page.evaluate("window.jupyterapp.shell.collapseLeft()")
    return opened
