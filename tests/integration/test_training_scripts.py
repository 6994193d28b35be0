"""Training as a user does it: a copied package, a folder of images, a run that is cut off."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from medmint import Generators
from medmint.cli.main import main
from medmint.model_contributor import copy_template, template_names
from medmint.resources import template_folder
from tests.packages.trainings import training_folder

pytestmark = pytest.mark.skipif(os.name == "nt", reason="processes are killed as on POSIX")

TRAINABLE = [name for name in template_names() if (template_folder(name) / "train.py").is_file()]
ROOT = Path(__file__).parents[2]
#: Of the training that is killed: seconds on one core. Read here, as tests have no such variables.
STEPS = os.environ.get("MEDMINT_TRAINING_STEPS", "12")
#: As small as the network goes.
TINY = {
    "fastgan_polyp": [
        *("--size", "64", "--batch", "4", "--channels", "4"),
        *("--autoencoder-widths", "8", "8", "16", "16"),
        *("--autoencoder-steps", "4", "--autoencoder-batch", "4", "--pixels-first", "2"),
    ],
    "cgan_chest_xray": ["--size", "16", "--width", "0.04", "--batch", "4"],
    "latent_ddpm_chest_xray": [
        *("--size", "32", "--batch", "4", "--channels", "3", "--unet-widths", "8", "8", "12"),
        *("--autoencoder-widths", "4", "4", "8", "8"),
        *("--autoencoder-steps", "2", "--autoencoder-batch", "4", "--pixels-first", "1"),
    ],
}


def begin(script: Path, data: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    """Start a training script with one thread."""
    return subprocess.Popen(
        [sys.executable, "-B", script, "--data", data, "--out", out, "--threads", "1", *options],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_script(script: Path, data: Path, out: Path, *options: str) -> tuple[int, str]:
    """Run a training script to its end; return its exit code and what it said."""
    process = begin(script, data, out, *options)
    told = process.communicate()[1]
    return process.returncode, told


def results(folder: Path) -> list[bytes]:
    names = ("weights.safetensors", "log.csv")
    paths = sorted(path for path in folder.rglob("*") if path.name in names)
    assert {path.name for path in paths} == set(names)
    return [path.read_bytes() for path in paths]


def test_trainings_that_were_killed_end_as_one_that_was_not(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tests.packages.trainings", tmp_path, "20231"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    killed = dict(line.split() for line in done.stdout.splitlines())
    assert int(killed.pop("any_moment")) >= 1
    assert killed == {"while_writing": "4", "before_writing": "4"}
    for name in ("any_moment", "while_writing", "before_writing"):
        assert results(tmp_path / name) == results(tmp_path / "undisturbed"), name
        assert not list((tmp_path / name).glob("*.partial"))


@pytest.mark.parametrize("name", TRAINABLE)
def test_a_folder_without_images_is_said_in_a_line(tmp_path, name):
    script = template_folder(name) / "train.py"
    code, told = run_script(script, tmp_path, tmp_path / "run")
    assert code == 2
    assert told.startswith(f"train.py: {tmp_path}")
    assert told.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", TRAINABLE)
def test_help_names_defaults(name):
    command = [sys.executable, "-B", template_folder(name) / "train.py", "--help"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "100)" in told.split("--checkpoint-every")[2].split("--")[0]
    assert "(None)" not in told


def test_a_copy_says_how_it_is_trained(tmp_path, capsys):
    assert main(["template", "fastgan_polyp", str(tmp_path / "mine")]) == 0
    assert f"python {tmp_path / 'mine' / 'train.py'} --data" in capsys.readouterr().out
    assert main(["template", "minimal", str(tmp_path / "small")]) == 0
    assert "train.py" not in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("name", TINY)
def test_a_copied_package_trains_and_generates(tmp_path, name):
    package, out = tmp_path / "my_model", tmp_path / "run"
    model_id = copy_template(name, package, taken=[], model_id="10099_MY_MODEL")
    data = training_folder(tmp_path / "data", count=80, side=64)
    # Another size and other classes than those that the package came with.
    is_conditional = "chest" in name
    more = ["--conditions", "view"] if is_conditional else []
    more += [] if "latent" in name else ["--no-card"]
    code, told = run_script(package / "train.py", data, out, *TINY[name], *more, "--steps", "2")
    assert code == 0, told
    for made in ("weights.safetensors", "metadata.json"):
        shutil.copy(out / made, package)
    with Generators() as generators:
        result = generators.generate(None, 2, tmp_path / "out", package=package, seed=1)
    assert result.count == 2
    header = (tmp_path / "out" / "manifest.jsonl").read_text(encoding="utf-8").splitlines()[0]
    assert json.loads(header)["model_id"] == model_id
    assert json.loads(header).get("conditions") == (["AP", "PA"] if is_conditional else None)
    assert (out / "MODEL_CARD.md").is_file() == ("latent" in name)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_reference_model_that_was_killed_ends_as_one_that_was_not(tmp_path):
    script = template_folder("fastgan_polyp") / "train.py"
    data = training_folder(tmp_path / "data", count=80, side=64)
    options = [*TINY["fastgan_polyp"], "--steps", STEPS, "--validate-every", "6"]
    options += ["--checkpoint-every", "3"]
    began = time.monotonic()
    code, told = run_script(script, data, tmp_path / "whole", *options)
    length = time.monotonic() - began
    assert code == 0, told
    moments = random.Random(5)
    killed = 0
    for _ in range(2):
        process = begin(script, data, tmp_path / "cut", *options)
        time.sleep(moments.uniform(length / 4, length / 2))
        process.kill()
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
    code, told = run_script(script, data, tmp_path / "cut", *options)
    assert code == 0, told
    assert killed >= 1
    assert results(tmp_path / "cut") == results(tmp_path / "whole")
    sheets = sorted((tmp_path / "whole").rglob("*_0*.png"))
    assert sheets
    for path in sheets:
        again = tmp_path / "cut" / path.relative_to(tmp_path / "whole")
        with Image.open(path) as one, Image.open(again) as other:
            assert one.tobytes() == other.tobytes()
