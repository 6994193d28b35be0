"""The quickstart notebook runs, and what is committed is what it gives."""

from pathlib import Path

import nbclient
import nbformat
import pytest

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "quickstart.ipynb"


@pytest.fixture
def committed() -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(cell: nbformat.NotebookNode) -> str:
    """Return the text that a cell printed to standard output."""
    return "".join(o.text for o in cell.outputs if o.get("name") == "stdout")


def pictures(notebook: nbformat.NotebookNode) -> int:
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    return sum("image/png" in output.get("data", {}) for output in outputs)


def test_it_is_committed_as_executed_from_top_to_bottom(committed):
    counts = [cell.execution_count for cell in code_cells(committed)]
    assert counts == list(range(1, len(counts) + 1))
    assert pictures(committed) == 2


def test_it_holds_no_path_of_a_machine(committed):
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert not [part for part in ("/home/", "/root/", "/tmp/", "\\\\Users\\\\") if part in text]
    assert not [
        o for cell in code_cells(committed) for o in cell.outputs if o.get("name") == "stderr"
    ]


@pytest.mark.slow
# The client library leaves its message channels to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_it_runs_and_prints_what_is_committed(committed, tmp_path, monkeypatch):
    for variable in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / variable.lower()))
    fresh = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(
        fresh, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    assert pictures(fresh) == pictures(committed)
    for cell, before in zip(code_cells(fresh), code_cells(committed), strict=True):
        assert printed(cell) == printed(before)
