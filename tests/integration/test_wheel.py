"""The wheel that users install: what is in it, and that it works away from the repository."""

import json
import os
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.integration.check_demo import check

ROOT = Path(__file__).parents[2]
MEBIBYTE = 2**20


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel with what is installed, so that no network is needed."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT]
    subprocess.run(command, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def members(wheel: Path) -> dict[str, zipfile.ZipInfo]:
    with zipfile.ZipFile(wheel) as archive:
        return {info.filename: info for info in archive.infolist()}


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet"]
    subprocess.run([*command, "--target", folder, wheel], check=True, capture_output=True)
    return folder


def shipped_templates() -> set[str]:
    """Return the packages that the catalogue calls part of medmint."""
    catalogue = json.loads((ROOT / "config/global.json").read_text(encoding="utf-8"))
    links = [record["execution"]["package_link"] for record in catalogue.values()]
    return {link.removeprefix("bundled:") for link in links if link.startswith("bundled:")}


def test_everything_of_the_package_is_in_it(members):
    sources = {
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src/medmint").rglob("*.py")
        if "__pycache__" not in path.parts
    }
    assert sources | {"medmint/py.typed"} <= set(members)


def test_the_catalogue_is_in_it(members):
    assert {"medmint/_data/config/global.json", "medmint/_data/config/schema.json"} <= set(members)


def test_every_bundled_model_is_in_it(members):
    assert shipped_templates()
    for name in shipped_templates():
        assert f"medmint/_data/templates/{name}/__init__.py" in members


def test_licence_and_attribution_are_in_it(members):
    licences = f"medmint-{version('medmint')}.dist-info/licenses"
    assert {f"{licences}/LICENSE", f"{licences}/LICENSES/NOTICE.md"} <= set(members)


def test_nothing_else_is_in_it(members):
    assert {name.split("/")[0] for name in members} == {
        "medmint",
        f"medmint-{version('medmint')}.dist-info",
    }
    assert not [
        name for name in members if "__pycache__" in name or name.endswith((".pyc", ".log"))
    ]
    share_alike = "medmint/_data/templates/volume_hippocampus/"
    assert not [n for n in members if n.startswith(share_alike) and n.endswith(".safetensors")]


def test_weights_stay_within_their_limits(members):
    sizes = [info.file_size for name, info in members.items() if name.endswith(".safetensors")]
    assert max(sizes) <= 12 * MEBIBYTE
    assert sum(sizes) <= 40 * MEBIBYTE


def test_demo_runs_from_the_wheel_in_an_unrelated_folder(installed, tmp_path):
    folder = tmp_path / "unrelated"
    folder.mkdir()
    # Before the editable install on sys.path; -P keeps the working directory off it.
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    code = "import sys; from medmint.cli.main import main; sys.exit(main(['demo']))"
    command = [sys.executable, "-P", "-c", code]
    before = {path: path.stat().st_mtime_ns for path in installed.rglob("*.safetensors")}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert check(folder / "medmint-demo") == []
    assert [path.name for path in folder.iterdir()] == ["medmint-demo"]
    assert {path: path.stat().st_mtime_ns for path in installed.rglob("*.safetensors")} == before
