"""Importing medmint and looking around is cheap: a fresh interpreter, and what it loaded."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "matplotlib", "scipy", "github", "requests")
LOOK_AROUND = "import medmint; medmint.Generators().list_models()"


def run(code: str, cwd: Path, *options: str) -> str:
    command = [sys.executable, *options, "-c", code]
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True).stdout


def seconds(code: str, cwd: Path) -> float:
    """Return the time of the code alone, without that of starting Python: the best of three."""
    timed = f"import time; start = time.perf_counter(); {code}; print(time.perf_counter() - start)"
    return min(float(run(timed, cwd)) for _ in range(3))


@pytest.mark.parametrize(
    "code",
    ["import medmint", "from medmint import Generators", "import medmint.errors", LOOK_AROUND],
)
def test_nothing_heavy_is_loaded(code, tmp_path):
    loaded = json.loads(
        run(f"{code}\nimport sys, json; print(json.dumps([*sys.modules]))", tmp_path)
    )
    assert not set(HEAVY) & set(loaded)


def test_looking_around_takes_at_most_a_quarter_of_importing_torch(tmp_path):
    assert seconds(LOOK_AROUND, tmp_path) <= seconds("import torch", tmp_path) / 4


def test_looking_around_makes_no_folder_and_no_connection(tmp_path):
    watch = (
        "import sys\n"
        "forbidden = {'socket.connect', 'socket.getaddrinfo', 'os.mkdir', 'subprocess.Popen'}\n"
        "def hook(event, arguments):\n"
        "    if event in forbidden:\n"
        "        raise SystemExit(f'{event}{arguments}')\n"
        "sys.addaudithook(hook)\n"
    )
    run(watch + LOOK_AROUND, tmp_path, "-B")
    assert list(tmp_path.iterdir()) == []
