"""The widgets in a real kernel, and in a real browser."""

import json
import socket
import subprocess
import sys
import time
from importlib.util import find_spec

import nbclient
import nbformat
import numpy as np
import pytest

from tests.integration.test_visualize_window import Screen, needs_a_screen
from tests.packages.looking import CLASSES, looking_package

# The client library leaves its message channels to the garbage collector.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

OPEN = """
from pathlib import Path
from medmint import Generators
generators = Generators()
panel = generators.visualize(None, seed=7, package={package!r}, folder="saved")
panel
"""
HELPERS = """
import json
from medmint.samples import latent_vectors
draw = latent_vectors(7, 0, 1, 128)[0]
def reached():
    assert panel.finish(60)
    table = panel.explorer.drawn.batch.table
    return [float(table[f"z{i}"][0]) for i in range(128)]
print(json.dumps(reached() == draw.tolist()))
"""
STEPS = {
    "slider": """
panel.controls["z 1-10"].value = 1.5
moved = reached()
print(json.dumps([moved[0] - float(draw[0]), moved[10] - float(draw[10])]))
""",
    "offset and reset": """
panel.controls["offset"].value = -1
moved = reached()
panel.controls["Reset"].click()
print(json.dumps([moved[127] - float(draw[127]), reached() == draw.tolist(),
                  panel.controls["z 1-10"].value, panel.controls["offset"].value]))
""",
    "class": """
labels = []
for name in panel.controls["class"].options:
    panel.controls["class"].value = name
    reached()
    labels.append([name, panel.explorer.drawn.batch.labels[0]])
print(json.dumps(labels))
""",
    "thirty moves": """
calls = Path({calls!r})
panel.controls["option seconds"].value = "0.3"
reached()
before = len(calls.read_text().splitlines())
for number in range(30):
    panel.controls["z 11-20"].value = number / 10
last = reached()
panel.controls["option seconds"].value = "0"
print(json.dumps([last[10] - float(draw[10]), len(calls.read_text().splitlines()) - before]))
""",
    "refusal": """
panel.controls["option steps"].value = "0"
assert panel.finish(60)
print(json.dumps(panel._status.value))
panel.controls["option steps"].value = "4"
""",
    "seed and save": """
panel.controls["Seed"].click()
latent = reached()
panel.controls["Save"].click()
saved = json.loads(next(Path("saved").glob("*.json")).read_text())
print(json.dumps([panel.explorer.view.seed != 7, saved["latents"][0] == latent,
                  len(list(Path("saved").glob("*.png")))]))
""",
    "pages": """
def shown():
    return len(panel._rows.children)
first = shown()
panel.controls["page"].value = 2
print(json.dumps([first, shown()]))
""",
}


@pytest.fixture
def private_jupyter(tmp_path, monkeypatch):
    """Keep what Jupyter writes below the folder of the test."""
    for variable in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / variable.lower()))
    monkeypatch.delenv("MPLBACKEND", raising=False)


def executed(tmp_path, *sources):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s) for s in sources])
    nbclient.NotebookClient(
        notebook, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    return notebook


def printed(cell):
    return json.loads("".join(o.text for o in cell.outputs if o.get("name") == "stdout"))


def test_the_widgets_of_a_notebook_reach_the_model(tmp_path, private_jupyter):
    package = looking_package(tmp_path, conditions=True)
    calls = str(tmp_path / "calls.txt")
    steps = [code.replace("{calls!r}", repr(calls)) for code in STEPS.values()]
    notebook = executed(tmp_path, OPEN.format(package=str(package)), HELPERS, *steps)
    opened, first, *cells = notebook.cells
    views = [o for o in opened.outputs if "application/vnd.jupyter.widget-view+json" in o.data]
    assert len(views) == len(opened.outputs) == 1
    assert printed(first) is True
    results = dict(zip(STEPS, map(printed, cells), strict=True))
    np.testing.assert_allclose(results["slider"], [1.5, 0], atol=1e-6)
    np.testing.assert_allclose(results["offset and reset"][0], -1, atol=1e-6)
    assert results["offset and reset"][1:] == [True, 0, 0]
    assert results["class"] == [[name, number] for number, name in enumerate(CLASSES)]
    np.testing.assert_allclose(results["thirty moves"][0], 2.9, atol=1e-6)
    assert results["thirty moves"][1] <= 2
    assert "ValueError" in results["refusal"]
    assert results["seed and save"] == [True, True, 2]
    assert results["pages"] == [14, 3]


@pytest.mark.skipif(find_spec("ipympl") is None, reason="%matplotlib widget needs ipympl")
def test_with_matplotlib_widget_the_window_is_in_the_notebook(tmp_path, private_jupyter):
    opened, moved = executed(
        tmp_path,
        "%matplotlib widget\n"
        "import asyncio, json\n"
        "from medmint import Generators\n"
        "window = Generators().visualize(10001, seed=7)\n"
        "print(json.dumps(type(window).__name__))",
        "window.controls['z 1-10'].set_val(2)\n"
        "for _ in range(100):\n"
        "    await asyncio.sleep(0.1)\n"
        "    if window.explorer.drawn.view is window.explorer.view:\n"
        "        break\n"
        "print(json.dumps(window.explorer.drawn.view.shifts[0]))",
    ).cells
    assert printed(opened) == "Window"
    # The timer of the page has shown it: nothing else did.
    assert printed(moved) == 2


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def red_pixels(picture):
    pixels = np.asarray(picture).astype(int)
    return int(((pixels[..., 0] > 120) & (pixels[..., 0] - pixels[..., 2] > 50)).sum())


@pytest.mark.skipif(find_spec("voila") is None, reason="a page for the browser needs voila")
@needs_a_screen("chromium")
def test_the_widgets_appear_in_a_browser(tmp_path, private_jupyter):
    code = "from medmint import Generators\nGenerators().visualize(10002, seed=7)"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    nbformat.write(notebook, tmp_path / "look.ipynb")
    port = free_port()
    command = [sys.executable, "-m", "voila", str(tmp_path / "look.ipynb"), "--no-browser"]
    with (tmp_path / "voila.log").open("wb") as log:
        voila = subprocess.Popen(
            [*command, f"--port={port}", "--Voila.ip=127.0.0.1"],
            stdout=log,
            stderr=log,
            cwd=tmp_path,
        )
    try:
        with Screen(1200, 800, tmp_path) as screen:
            screen.wait_for(lambda: "is running" in (tmp_path / "voila.log").read_text(), 60)
            screen.browse(f"http://127.0.0.1:{port}/")
            # The red of the mucosa: the picture has arrived in the page.
            screen.wait_for(lambda: red_pixels(screen.picture("page.png")) > 10_000, 120)
            time.sleep(2)
            screen.picture("notebook_in_a_browser.png")
    finally:
        voila.terminate()
        voila.wait(30)
