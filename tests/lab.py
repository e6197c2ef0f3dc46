"""JupyterLab in a real browser: a notebook is opened, all its cells run, and widgets moved by mouse and keyboard.

Nothing of the machine's Jupyter is read or written: settings, data and kernels' files lie in a folder of the test.
"""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager

import nbformat
from browser import SECONDS, Watched

SETTINGS = {
    # JupyterLab's own question about news would cover a part of the page.
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    # Cells that are scrolled out of sight stay in the page, where their figures can be looked at.
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
}
KNOWN = {
    "debug_request": "JupyterLab asks for the debugger's state, and the kernel has been restarted or ended meanwhile",
}

# The notebook that is open: its cells with their execution counts and outputs, as they would be saved.
NOTEBOOK = "[...window.jupyterapp.shell.widgets('main')].find(widget => widget.content?.model?.cells)"
CELLS = f"""() => {{
    const panel = {NOTEBOOK};
    return [...panel.content.model.cells].filter(cell => cell.type === 'code').map(cell => (
        {{source: cell.sharedModel.source, count: cell.executionCount, outputs: cell.outputs.toJSON()}}));
}}"""
# All code has run, or a cell has failed, which ends "run all".
ENDED = f"""() => {{
    const panel = {NOTEBOOK}, kernel = panel?.sessionContext.session?.kernel;
    const code = panel ? [...panel.content.model.cells].filter(cell => cell.type === 'code') : [];
    const done = code.every(cell => cell.executionCount || !cell.sharedModel.source.trim());
    const failed = code.some(cell => cell.outputs.toJSON().some(output => output.output_type === 'error'));
    return kernel?.status === 'idle' && (done || failed);
}}"""
READY = f"() => window.jupyterapp && {NOTEBOOK}?.sessionContext.session?.kernel?.status === 'idle'"
# Every picture of the notebook, once it has been decoded.
PICTURES = f"""() => Promise.all([...{NOTEBOOK}.content.node.querySelectorAll('.jp-OutputArea img')].map(async image => {{
    await image.decode().catch(() => null);
    return {{alt: image.alt, width: image.naturalWidth, caption: image.closest('figure')?.textContent ?? ''}};
}}))"""
EVALUATE = f"""async expression => {{
    const kernel = {NOTEBOOK}.sessionContext.session.kernel;
    const done = kernel.requestExecute({{code: '', silent: true, user_expressions: {{it: expression}}}}).done;
    const {{data, evalue}} = (await done).content.user_expressions.it;
    if (!data) throw new Error(evalue);
    return data['text/plain'];
}}"""


def parametrised(path, out, **parameters):
    """A copy of a lesson without outputs, with parameters in the place where papermill would put them."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    place = next(n for n, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", []))
    source = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
    notebook.cells.insert(place + 1, nbformat.v4.new_code_cell(source))
    nbformat.write(notebook, out)


@contextmanager
def jupyter_lab(folder):
    """JupyterLab of this Python with `folder`/lessons as its root; yields its address."""
    own = {name: folder / "jupyter" / name.lower() for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR",
           "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")}  # fmt: skip
    for place in (folder / "lessons", *own.values(), own["JUPYTER_CONFIG_DIR"] / "labconfig"):
        place.mkdir(parents=True, exist_ok=True)
    overrides = own["JUPYTER_CONFIG_DIR"] / "labconfig" / "default_setting_overrides.json"
    overrides.write_text(json.dumps(SETTINGS))
    removed = ("JUPYTER_PATH", "JUPYTER_CONFIG_PATH", "MPLBACKEND", "ADVCONF_PROGRESS")  # as for a student
    kept = {name: value for name, value in os.environ.items() if name not in removed}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {
        "ServerApp.ip": "127.0.0.1", "ServerApp.port": port, "ServerApp.port_retries": 0, "ServerApp.open_browser": False,
        "ServerApp.root_dir": folder / "lessons", "IdentityProvider.token": "", "ServerApp.allow_root": True,
        "LabApp.expose_app_in_browser": True, "LabApp.extension_manager": "readonly",
    }  # fmt: skip
    command = [sys.executable, "-m", "jupyterlab", *(f"--{name}={value}" for name, value in options.items())]
    url, log = f"http://127.0.0.1:{port}", folder / "jupyter" / "log.txt"
    with open(log, "wb") as file:
        server = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, cwd=folder,
                                  env=kept | {name: str(place) for name, place in own.items()})  # fmt: skip
    try:
        _wait_for(f"{url}/api", server, log)
        yield url
    finally:
        server.terminate()  # and with it the kernels
        server.wait(SECONDS)


def _wait_for(url, server, log):
    end = time.time() + SECONDS
    while time.time() < end and server.poll() is None:
        try:
            return urllib.request.urlopen(url, timeout=5).read()
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"JupyterLab did not start: {log.read_text(errors='replace')[-2000:]}")


class Lab(Watched):
    """A notebook in JupyterLab, worked as by a hand."""

    def __init__(self, browser, url, name):
        super().__init__(browser, (url, url.replace("http", "ws", 1)), known=KNOWN)
        self.page.goto(f"{url}/lab/tree/{name}?reset")
        self.page.wait_for_function(READY)

    def run_all(self, seconds):
        """Menu Run, "Restart Kernel and Run All Cells", yes; until all has run, or a cell has failed."""
        page = self.page
        page.locator("#jp-MainMenu").get_by_role("menuitem", name="Run", exact=True).click()
        page.locator(".lm-Menu-item", has_text="Restart Kernel and Run All Cells").click()
        page.locator(".jp-Dialog .jp-mod-accept").click()
        page.locator(".jp-Dialog").wait_for(state="detached")
        page.wait_for_function(ENDED, timeout=seconds * 1000, polling=200)

    def cells(self):
        """Code cells: source, count, outputs."""
        return self.page.evaluate(CELLS)

    def pictures(self):
        """Every picture among the outputs: alt, width in pixels (0: not drawn), caption."""
        return self.page.evaluate(PICTURES)

    def close(self):
        """The page and its kernel; AssertionError as `is_quiet`."""
        self.page.evaluate(f"() => {NOTEBOOK}.sessionContext.shutdown()")
        self.context.close()
        self.is_quiet()

    def value(self, expression):
        """What the kernel makes of an expression, as text."""
        return self.page.evaluate(EVALUATE, expression)


# ---- widgets ---------------------------------------------------------------------------------------------------------

# When was a key or button pressed, and when was another picture there, decoded and painted?
ARM = """area => {
    const shown = () => [...area.querySelectorAll('figure img')].map(image => image.src).join();
    const before = shown(), times = window.times = {};
    for (const kind of ['keydown', 'click']) document.addEventListener(
        kind, () => { times.moved ??= performance.now(); }, {capture: true, once: true});
    new MutationObserver(async (_, observer) => {
        if (!shown() || shown() === before) return;
        observer.disconnect();
        await Promise.all([...area.querySelectorAll('figure img')].map(image => image.decode()));
        requestAnimationFrame(() => requestAnimationFrame(() => { times.seen = performance.now(); }));
    }).observe(area, {childList: true, subtree: true, attributes: true, characterData: true});
}"""
IDLE = f"() => {NOTEBOOK}.sessionContext.session.kernel.status === 'idle'"


class Controls:
    """The controls of the widget that a cell with these words shows, moved by mouse and keyboard."""

    def __init__(self, lab, words):
        self.lab, self.page = lab, lab.page
        cell = f"[...{NOTEBOOK}.content.widgets].find(cell => cell.model.sharedModel.source.includes('{words}'))"
        self.page.evaluate(f"() => {{ {cell}.node.dataset.widget = '{words}'; }}")
        self.area = self.page.locator(f"[data-widget='{words}'] .jp-Cell-outputArea")
        self.area.locator(".widget-inline-hbox").first.wait_for()

    def row(self, name):
        """A control, by its label."""
        label = self.page.locator(".widget-label, .widget-label-basic", has_text=re.compile(f"^{name.replace('_', ' ')}$"))
        return self.area.locator(".widget-inline-hbox, .widget-toggle-buttons").filter(has=label)

    def words(self):
        """The line below the picture."""
        return " ".join(self.area.locator(".jp-RenderedText").last.inner_text().split())

    def turn(self, name, key="End"):
        """By hand: a slider by a key, a choice to the last button that is not chosen (End) or the first, a switch;
        milliseconds from the movement to the new picture on the screen."""
        row = self.row(name)
        row.scroll_into_view_if_needed()
        self.page.wait_for_function(IDLE)
        self.area.evaluate(ARM)
        if row.locator(".noUi-handle").count():
            row.locator(".noUi-handle").focus()
            self.page.keyboard.press(key)
        elif row.locator("button").count():
            others = row.locator("button:not(.mod-active)")
            (others.last if key == "End" else others.first).click()
        else:
            row.locator("input[type=checkbox]").click()
        self.page.wait_for_function("() => window.times.seen", timeout=30_000)
        self.page.wait_for_function(IDLE)
        return self.page.evaluate("() => window.times.seen - window.times.moved")

    def drag(self, name, share):
        """A slider's handle, by mouse, to a share of its length."""
        row = self.row(name)
        row.scroll_into_view_if_needed()
        handle, bar = (row.locator(css).bounding_box() for css in (".noUi-handle", ".noUi-base"))
        y = handle["y"] + handle["height"] / 2
        self.page.mouse.move(handle["x"] + handle["width"] / 2, y)
        self.page.mouse.down()
        self.page.mouse.move(bar["x"] + share * bar["width"], y, steps=6)
        self.page.mouse.up()
