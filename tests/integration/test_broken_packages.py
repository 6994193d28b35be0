"""Packages with one fault each: refused at the step that is about it, with the fault named."""

import json
import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from medmint import Generators
from medmint.errors import MedmintError
from medmint.model_contributor import template_names
from medmint.resources import template_folder
from tests.fakes.wheels import make_wheel, use_wheels
from tests.packages.folders import attempt, plain_package, sampler_package

ID = "90030_TEST_SAMPLER"
PLAIN = {
    "model_id": "90031_TEST_GAN_PLAIN",
    "dependencies": ["numpy"],
    "fields": {"execution.image_size": [16, 16]},
}


def rewrite(folder: Path, old: str, new: str, file: str = "__init__.py") -> None:
    text = (folder / file).read_text(encoding="utf-8")
    assert old in text
    (folder / file).write_text(text.replace(old, new), encoding="utf-8")


def record(folder: Path, **execution: object) -> None:
    """Change the execution part of a package's record."""
    content = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
    content[ID]["execution"] |= execution
    (folder / "metadata.json").write_text(json.dumps(content), encoding="utf-8")


def without_licence(folder: Path) -> None:
    content = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
    content[ID]["selection"].pop("license")
    content[ID]["description"].pop("weights_license")
    (folder / "metadata.json").write_text(json.dumps(content), encoding="utf-8")
    (folder / "LICENSE").unlink()


def dicom(folder: Path) -> None:
    # Patient's name, (0010,0010), in explicit little endian behind preamble and prefix.
    name = b"\x10\x00\x10\x00PN\x08\x00Doe^Jane"
    (folder / "example").write_bytes(bytes(128) + b"DICM" + name)


def nifti(folder: Path) -> None:
    header = bytearray(352)
    header[:4] = (348).to_bytes(4, "little")
    header[148:166] = b"Patient: Jane Doe "
    header[344:348] = b"n+1\0"
    (folder / "scan.nii").write_bytes(header)


def png(folder: Path) -> None:
    info = PngInfo()
    info.add_text("PatientName", "Doe^Jane")
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(folder / "one.png", pnginfo=info)


def big(folder: Path) -> None:
    with (folder / "data.bin").open("wb") as file:
        os.truncate(file.fileno(), 3 << 30)


def torch_weights(folder: Path) -> None:
    (folder / "weights.safetensors").unlink()
    (folder / "weights.pt").write_bytes(pickle.dumps({"patterns": 1.0}))
    record(folder, extension=".pt")


def text(folder: Path, name: str, content: str = "x") -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(content, encoding="utf-8")


RETURN = 'return {"image": images.reshape(-1, 1, SIDE, SIDE)}'
SAMPLERS = {
    "syntax error": (
        lambda f: text(f, "network.py", "def broken(:\n"),
        "code",
        "network.py, line 1",
    ),
    "no __init__.py": (lambda f: (f / "__init__.py").unlink(), "code", "a file __init__.py"),
    "no text file": (
        lambda f: (f / "__init__.py").write_bytes(b"\xff\xfe\0\0"),
        "code",
        "Python that can be parsed",
    ),
    "no load": (lambda f: rewrite(f, "def load(", "def loads("), "metadata", "load"),
    "load without device": (
        lambda f: rewrite(f, '    device: str = "cpu",  # noqa: ARG001 - for models that', "    #"),
        "metadata",
        "which takes fewer",
    ),
    "missing weights": (
        lambda f: (f / "weights.safetensors").unlink(),
        "metadata",
        "weights weights.safetensors",
    ),
    "cut weights": (
        lambda f: os.truncate(f / "weights.safetensors", 4000),
        "metadata",
        "16464 bytes, found 4000",
    ),
    "pickled weights": (torch_weights, "metadata", "safetensors"),
    "no licence": (without_licence, "metadata", "license"),
    "unknown licence": (
        lambda f: rewrite(f, '"MIT"', '"free for all"', "metadata.json"),
        "metadata",
        "SPDX",
    ),
    "record of no model": (lambda f: text(f, "metadata.json", "{}"), "id", "one record"),
    "torn record": (lambda f: text(f, "metadata.json", '{"90030_'), "id", "not valid JSON"),
    "no requirement": (lambda f: record(f, dependencies=["numpy>>1"]), "metadata", "numpy>>1"),
    "unstated requirement": (
        lambda f: rewrite(f, "import numpy as np", "import numpy as np\nimport scipy"),
        "metadata",
        "scipy (__init__.py)",
    ),
    "another latent size": (
        lambda f: rewrite(f, '_size": 8', '_size": 9', "metadata.json"),
        "test",
        "ValueError",
    ),
    "an .env": (lambda f: text(f, ".env", "A=1"), "files", ".env"),
    "a key": (
        lambda f: text(f, "notes.md", "-----BEGIN RSA PRIVATE KEY-----"),
        "files",
        "notes.md holds a private key",
    ),
    "a token": (
        lambda f: text(f, "train.sh", "export ZENODO_ACCESS_TOKEN=abcdefgh12345678"),
        "files",
        "train.sh",
    ),
    "a DICOM file": (dicom, "files", "example is a DICOM file"),
    "a NIfTI file with a name": (nifti, "files", "scan.nii"),
    "a PNG file with a name": (png, "files", "one.png"),
    "a table with names": (
        lambda f: text(f, "labels.csv", "file,Patient Name\n1.png,Jane\n"),
        "files",
        "Patient Name",
    ),
    "a link": (lambda f: (f / "data.txt").symlink_to("/etc/hostname"), "files", "data.txt"),
    "a link to a folder": (lambda f: (f / "data").symlink_to("/etc"), "files", "folder elsewhere"),
    "a pipe": (lambda f: os.mkfifo(f / "pipe"), "files", "pipe"),
    "a large file": (big, "files", "3,221,225,472 bytes"),
    "an archive": (
        lambda f: (f / "raw.zip").write_bytes(b"PK\x03\x04rest"),
        "files",
        "raw.zip is an archive",
    ),
    "a name for one system": (lambda f: text(f, "aux.txt"), "files", "reserved on Windows"),
    "names that differ in case": (
        lambda f: (text(f, "a.txt"), text(f, "A.txt")),
        "files",
        "in case",
    ),
    "a torn notebook": (lambda f: text(f, "try.ipynb", "{"), "package", "try.ipynb"),
    "import fails": (
        lambda f: rewrite(f, "LATENT_SIZE, SIDE = 8, 32", "LATENT_SIZE, SIDE = 8, 32 / 0"),
        "import",
        "ZeroDivisionError",
    ),
    "weights of another model": (
        lambda f: rewrite(f, '["patterns"]', '["kernels"]'),
        "import",
        "KeyError",
    ),
    "wrong shape": (
        lambda f: rewrite(f, "-1, 1, SIDE, SIDE)}", "-1, 1, SIDE // 2, SIDE * 2)}"),
        "test",
        "32 x 32",
    ),
    "wrong range": (lambda f: rewrite(f, RETURN, RETURN[:-1] + " * 2}"), "test", "[0, 1]"),
    "not a number": (lambda f: rewrite(f, RETURN, RETURN[:-1] + " * np.nan}"), "test", "finite"),
    "nothing in the images": (
        lambda f: rewrite(f, RETURN, RETURN[:-1] + " * 0}"),
        "test",
        "the same value everywhere",
    ),
    "one sample too many": (
        lambda f: rewrite(f, RETURN, 'return {"image": np.zeros((len(latents) + 1, 1, 32, 32))}'),
        "test",
        "samples",
    ),
    "an output that is not in the record": (
        lambda f: rewrite(f, RETURN, RETURN[:-1] + ', "mask": images.reshape(-1, 1, 32, 32)}'),
        "test",
        "image, mask",
    ),
    "another dtype": (
        lambda f: rewrite(f, RETURN, RETURN[:-1] + ".astype(np.uint16)}"),
        "test",
        "uint16",
    ),
    "not repeatable": (
        lambda f: rewrite(f, "mixed = ", "latents = latents + np.random.rand()\n        mixed = "),
        "test",
        "same seed",
    ),
    "other samples in other batches": (
        lambda f: rewrite(f, "mixed = ", "latents = latents + len(latents)\n        mixed = "),
        "test",
        "batches of 1",
    ),
}


@pytest.fixture
def generators():
    with Generators() as facade:
        yield facade


#: Files that only Linux can hold, all of them.
SPECIAL = {"a link", "a link to a folder", "a pipe", "a name for one system", "a large file"}
SPECIAL |= {"names that differ in case"}


@pytest.mark.parametrize("fault", SAMPLERS)
def test_a_broken_sampler_package_is_refused(generators, tmp_path, fault):
    if fault in SPECIAL and sys.platform != "linux":
        pytest.skip("the file system cannot hold such a file")
    breaks, step, said = SAMPLERS[fault]
    folder = sampler_package(tmp_path / "package", ID)
    breaks(folder)
    found, error = attempt(generators, folder)
    assert isinstance(error, MedmintError), "it was not refused"
    assert said in str(error)
    assert found == step
    assert not list((tmp_path / "package-out").glob("*.zip"))


def test_the_list_is_long_enough():
    assert len(SAMPLERS) >= 30


class TestGeneratePackage:
    @pytest.mark.parametrize(
        ("old", "new", "step", "said"),
        [
            ("save_images, steepness=1.0", "steepness=1.0", "metadata", "not take save_images"),
            ("steepness=1.0", "steepness", "metadata", "demands steepness as well"),
            ("def generate(", "def make(", "metadata", "a function generate"),
            ("return list(", "return 7 or list(", "test", "samples with an image"),
            ("reshape(-1, 16, 16)", "reshape(-1, 8, 32)", "test", "16 x 16"),
            ("np.load(model_file", "np.load('no.npz'", "test", "no.npz"),
            ("import numpy as np\n", "import numpy as np, sys; sys.exit(3)\n", "import", "Exit"),
        ],
    )
    def test_a_broken_one_is_refused(self, generators, tmp_path, old, new, step, said):
        folder = plain_package(tmp_path / "package")
        rewrite(folder, old, new)
        arguments = {**PLAIN, "generate_method_name": "generate"}
        found, error = attempt(generators, folder, **arguments)
        assert error is not None, "it was not refused"
        assert said in str(error)
        assert found == step

    def test_weights_that_run_code_are_refused(self, generators, tmp_path):
        folder = plain_package(tmp_path / "package")
        (folder / "my_weights.npz").write_bytes(pickle.dumps(os.getcwd))
        found, error = attempt(generators, folder, **PLAIN)
        assert found == "metadata"
        assert ".getcwd" in str(error)

    def test_two_files_of_weights_have_to_be_told_apart(self, generators, tmp_path):
        folder = plain_package(tmp_path / "package")
        (folder / "other.pt").write_bytes(b"x")
        found, error = attempt(generators, folder, **PLAIN)
        assert found == "metadata"
        assert "my_weights.npz, other.pt" in str(error)


@pytest.mark.parametrize(
    ("model_id", "said"),
    [
        ("10001_ANOTHER_MODEL", "10001_PHANTOM_CT_HEAD_SLICE has this one"),
        ("my_model", "such as"),
        ("00100_X", "13 to 64"),
        (100, "five digits"),
        ("90077_OTHER_NAME", "90030_TEST_SAMPLER, as"),
    ],
)
def test_a_wrong_id_is_refused_with_a_free_one(generators, tmp_path, model_id, said):
    folder = sampler_package(tmp_path / "package", ID)
    found, error = attempt(generators, folder, model_id=model_id)
    assert said in str(error)
    assert found == ("metadata" if model_id == "90077_OTHER_NAME" else "id")


def test_what_is_allowed_by_name_is_packed(generators, tmp_path):
    folder = sampler_package(tmp_path / "package", ID)
    dicom(folder)
    text(folder, ".env", "A=1")
    _, error = attempt(generators, folder, allow=["example"])
    assert ".env" in str(error)
    assert "example" not in str(error)
    assert attempt(generators, folder, allow=["example", ".env"]) == ("package", None)
    assert "no.dcm" in str(attempt(generators, folder, allow=["no.dcm"])[1])


def test_a_dependency_that_does_not_exist_is_named(tmp_path, monkeypatch):
    make_wheel(use_wheels(monkeypatch, tmp_path), "medmint_fake", "1.0")
    folder = sampler_package(tmp_path / "package", ID)
    record(folder, dependencies=["numpy", "safetensors", "no-such-package"])
    with Generators() as facade:
        step, error = attempt(facade, folder, dry_run=False)
        assert (step, "no-such-package" in str(error)) == ("import", True)
        step, error = attempt(facade, folder, dry_run=False, install_dependencies=True)
    assert (step, "no-such-package" in str(error)) == ("import", True)


def test_what_is_imported_in_secret_fails_where_it_is_not_installed(tmp_path):
    folder = sampler_package(tmp_path / "package", ID)
    rewrite(folder, "from pathlib import Path", "import importlib\nfrom pathlib import Path")
    rewrite(folder, "LATENT_SIZE, SIDE", "importlib.import_module('jsonschema')\nLATENT_SIZE, SIDE")
    with Generators() as facade:
        assert attempt(facade, folder)[1] is None
        step, error = attempt(facade, folder, dry_run=False)
    assert step == "test"
    assert "No module named 'jsonschema'" in str(error)


TEMPLATES = template_names()
LIGHT = {"minimal", "phantom_ct_head"}


@pytest.mark.parametrize(
    "name", [n if n in LIGHT else pytest.param(n, marks=pytest.mark.slow) for n in TEMPLATES]
)
def test_each_template_goes_through_a_dry_run(generators, tmp_path, name):
    output = tmp_path / "out"
    contribution = generators.contribute(
        None, template_folder(name), dry_run=True, output_path=output
    )
    # Images that ask for attribution and weights under MIT: somebody has to have thought of it.
    doubts = ["The training data are under 'free use with attribution"] * ("chest" in name)
    assert [warning.partition(" (")[0] for warning in contribution.warnings] == doubts
    assert contribution.archive.is_file()
    assert (output / "samples.png").is_file() or (template_folder(name) / "samples.png").is_file()
    # And so does a copy of it.
    folder = sampler_package(tmp_path / "copy_of_it", "90040_COPY_OF_IT", name)
    assert attempt(generators, folder) == ("package", None)
