"""A Python that has numpy and no torch: medmint and a package of the published kind run in it."""

import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from medmint.resources import config_file
from tests.fakes import published
from tests.fakes.zenodo import Zenodo

MODEL = next(model_id for model_id in published.RECORDS if model_id.startswith("00022"))
TORCH = ("torch", "functorch", "nvidia", "triton")
CODE = """
import importlib.util, json, sys
assert importlib.util.find_spec("torch") is None
from medmint import Generators
with Generators(catalogue="catalogue.json") as generators:
    result = generators.generate(22, 5, "out", seed=3)
    samples = generators.generate(22, 2, save_images=False, seed=3, device="cpu")
print(json.dumps([result.count, len(samples), str(samples[0].dtype)]))
"""


@pytest.fixture
def python(tmp_path):
    """A virtual environment with everything that is installed here but torch."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    facts = "import sysconfig; print(sysconfig.get_path('purelib'))"
    names = "Scripts/python.exe" if sys.platform == "win32" else "bin/python"
    python = tmp_path / "venv" / names
    target = Path(subprocess.check_output([python, "-c", facts], text=True).strip())
    for source in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for entry in Path(source).iterdir():
            link = target / entry.name
            if not entry.name.startswith(TORCH) and not link.exists():
                link.symlink_to(entry)
    return python


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege on Windows")
def test_a_package_of_numpy_alone_runs_where_there_is_no_torch(python, tmp_path):
    record = json.loads(config_file("global.json").read_text(encoding="utf-8"))[MODEL]
    record["execution"]["dependencies"] = published.dependencies(MODEL)
    assert "torch" not in record["execution"]["dependencies"]
    (tmp_path / "catalogue.json").write_text(json.dumps({MODEL: record}), encoding="utf-8")
    link = record["execution"]["package_link"]
    number = int(link.split("/files/")[0].rsplit("/", 1)[1])
    with Zenodo() as zenodo:
        zenodo.add_record({published.zip_name(MODEL): published.build_zip(MODEL)}, number=number)
        done = subprocess.run(
            [python, "-c", CODE],
            cwd=tmp_path,
            env={
                "MEDMINT_HOME": str(tmp_path / "home"),
                "MEDMINT_ZENODO_URL": zenodo.url,
                "PATH": "/usr/bin",
            },
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [5, 2, "uint8"]
    assert len(list((tmp_path / "out" / "images").iterdir())) == 5
