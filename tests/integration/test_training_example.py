"""The training example converges, as a script and as the notebook that is committed."""

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import nbclient
import nbformat
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "notebooks" / "train_with_synthetic_data.py"
NOTEBOOK = SCRIPT.with_suffix(".ipynb")
REAL = ROOT / "tests" / "data" / "hyperkvasir_polyps"
RESULT = re.compile(
    r"seed (?P<seed>\d+): loss (?P<first>\d\.\d+) -> (?P<last>\d\.\d+)[,\n]\s*"
    r"Dice on 8 held-out real frames:? (?P<dice>\d\.\d+)"
)


def result_of(text):
    found = RESULT.search(text)
    assert found, text
    return {name: float(value) for name, value in found.groupdict().items()}


def train(folder, *arguments):
    command = [sys.executable, "-B", SCRIPT, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert list(folder.iterdir()) == []
    return done.stdout


@pytest.fixture
def committed():
    return nbformat.read(NOTEBOOK, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(notebook):
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    return "".join(output.text for output in outputs if output.get("name") == "stdout")


@pytest.mark.slow
def test_the_script_takes_a_folder_and_learns(tmp_path):
    output = train(tmp_path, "--real", REAL, "--epochs", "3", "--seed", "4")
    assert "24 real and 24 synthetic pairs" in output
    result = result_of(output)
    assert result["seed"] == 4
    assert result["last"] < result["first"]


@pytest.mark.slow
def test_the_script_converges(tmp_path):
    result = result_of(train(tmp_path))
    assert result["last"] < 0.6 * result["first"]
    assert result["dice"] > 0.4


def test_the_notebook_is_committed_as_executed(committed):
    counts = [cell.execution_count for cell in code_cells(committed)]
    assert counts == list(range(1, len(counts) + 1))
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert not [part for part in ("/home/", "/root/", "/tmp/", "\\\\Users\\\\") if part in text]
    assert '"stderr"' not in text
    assert result_of(printed(committed))["dice"] > 0.4


@pytest.mark.slow
# The client library leaves its message channels to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_notebook_runs_and_converges(committed, tmp_path, monkeypatch):
    for variable in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / variable.lower()))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    nbclient.NotebookClient(
        committed, kernel_name="python3", resources={"metadata": {"path": str(NOTEBOOK.parent)}}
    ).execute()
    result = result_of(printed(committed))
    assert result["last"] < 0.6 * result["first"]
    assert result["dice"] > 0.4
    assert "2 batches before, 4 after" in printed(committed)


def test_the_real_frames_are_few_licensed_and_in_pairs():
    names = [name for split in ("train", "val") for name in read_split(split)]
    assert len(names) == len(set(names)) == 32
    assert sorted(path.name for path in (REAL / "images").iterdir()) == sorted(names)
    assert sorted(path.name for path in (REAL / "masks").iterdir()) == sorted(names)
    for name in names:
        with Image.open(REAL / "images" / name) as image, Image.open(REAL / "masks" / name) as mask:
            assert (image.size, image.mode, mask.size) == ((128, 128), "RGB", (128, 128))
    frames = {hashlib.sha256((REAL / "images" / name).read_bytes()).digest() for name in names}
    assert len(frames) == 32
    readme = (REAL / "README.md").read_text(encoding="utf-8")
    assert "CC BY 4.0" in readme
    assert "10.1038/s41597-020-00622-y" in readme


def read_split(split):
    return (REAL / f"split_{split}.txt").read_text(encoding="utf-8").split()
