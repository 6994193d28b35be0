"""``generate`` in every format: the folder is a table, and a run ends the same however it went."""

import json
import subprocess
import sys

import numpy as np
import pytest

from medmint import Generators, Settings
from medmint.cli.main import main
from medmint.errors import ArgumentError, MissingExtraError
from medmint.generation_request import OUTPUT_FORMATS
from medmint.writers.sample_writer import EncodedFile
from tests.packages.builders import write_package
from tests.packages.written import read

PHANTOM = 10001


@pytest.fixture(scope="module")
def generators(tmp_path_factory):
    """One facade for all tests, so that the worker stays warm."""
    settings = Settings(home=tmp_path_factory.mktemp("home") / "medmint")
    with Generators(settings=settings) as made:
        yield made


@pytest.fixture(scope="module")
def arrays(generators):
    """The images and masks that all formats are to hold."""
    return generators.generate(PHANTOM, 3, save_images=False, seed=5, batch_size=2)


def content(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def file_of(path):
    name, _, suffix = path.name.partition(".")
    return EncodedFile((name,), f".{suffix}", path.read_bytes())


@pytest.mark.parametrize("output_format", OUTPUT_FORMATS)
def test_every_format_holds_the_phantoms(generators, arrays, output_format, tmp_path):
    call = {"output_format": output_format, "batch_size": 2, "seed": 5}
    result = generators.generate(PHANTOM, 3, tmp_path / "run", **call)
    header = json.loads((result.folder / "manifest.jsonl").read_text().splitlines()[0])
    for line, (image, mask) in zip(result.samples(), arrays, strict=True):
        back = read(file_of(result.folder / line["image"]), "image", header)
        np.testing.assert_array_equal(back, image)
        if output_format != "dicom":
            back = read(file_of(result.folder / line["mask"]), "mask", header)
            np.testing.assert_array_equal(back, mask)
    # The same again, and the same in two steps.
    generators.generate(PHANTOM, 3, tmp_path / "again", **call)
    generators.generate(PHANTOM, 1, tmp_path / "steps", **call)
    generators.generate(PHANTOM, 3, tmp_path / "steps", **call)
    whole = content(tmp_path / "run")
    assert content(tmp_path / "again") == content(tmp_path / "steps") == whole
    generators.generate(PHANTOM, 2, tmp_path / "steps", seed=6, overwrite=True)
    assert len(content(tmp_path / "steps")) == 5


def test_segmentations_hold_the_lesions(generators, arrays, tmp_path):
    pydicom = pytest.importorskip("pydicom")
    pytest.importorskip("highdicom")
    result = generators.generate(
        PHANTOM, 3, tmp_path / "run", seed=5, batch_size=2, output_format="dicom"
    )
    for line, (_, mask) in zip(result.samples(), arrays, strict=True):
        image, segmentation = (pydicom.dcmread(result.folder / line[n]) for n in ("image", "mask"))
        np.testing.assert_array_equal(segmentation.pixel_array, mask == 255)
        assert (image.Modality, image.RescaleType) == ("CT", "HU")
        assert list(image.PixelSpacing) == [0.85, 0.85]
        assert (image.WindowCenter, image.WindowWidth) == (40.5, 121)


LABELLED = '[(image, "polyp" if i % 2 else "normal") for i, image in enumerate(images)]'


def test_the_manifest_is_a_table(generators, tmp_path):
    pandas = pytest.importorskip("pandas")
    package = write_package(tmp_path / "package", contract="generate", result=LABELLED)
    with Generators() as own:
        folder = own.generate(None, 4, tmp_path / "run", package=package, seed=1).folder
    with (folder / "manifest.jsonl").open(encoding="utf-8") as manifest:
        header = json.loads(next(manifest))
        table = pandas.read_json(manifest, lines=True)
    assert header["seed"] == 1
    assert table["label"].tolist() == ["normal", "polyp"] * 2
    assert table["index"].tolist() == [0, 1, 2, 3]
    assert all((folder / path).is_file() for path in table["image"])
    # Whoever does not know of the header can tell its row by what it lacks.
    whole = pandas.read_json(folder / "manifest.jsonl", lines=True)
    assert whole.dropna(subset="image")["label"].tolist() == table["label"].tolist()


def test_paths_of_masks_are_in_the_table(generators, tmp_path):
    pandas = pytest.importorskip("pandas")
    folder = generators.generate(PHANTOM, 2, tmp_path / "run", seed=1).folder
    with (folder / "manifest.jsonl").open(encoding="utf-8") as manifest:
        next(manifest)
        table = pandas.read_json(manifest, lines=True)
    assert [(folder / path).is_file() for path in (*table["image"], *table["mask"])] == [True] * 4


def test_the_command_line_knows_the_formats(tmp_path, capsys):
    folder = tmp_path / "run"
    call = ["generate", "10001", "--num-samples", "1", "--seed", "1", "--output", str(folder)]
    assert main([*call, "--format", "tiff"]) == 0
    assert (folder / "images" / "000000.tif").is_file()
    capsys.readouterr()
    assert main([*call, "--format", "jpg"]) == 2
    assert "'dicom'" in capsys.readouterr().err


@pytest.mark.parametrize(("output_format", "module"), [("dicom", "pydicom"), ("nifti", "nibabel")])
def test_a_missing_extra_is_named_before_anything_is_made(
    generators, output_format, module, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"pip install 'medmint\[{output_format}\]'"):
        generators.generate(PHANTOM, 2, tmp_path / "run", output_format=output_format)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("spec", "reason"),
    [({"dtype": "float32"}, "no value_range"), ({"dtype": "uint8", "spatial_dims": 3}, "a volume")],
)
def test_what_png_cannot_hold_is_told_before_a_worker_starts(spec, reason, tmp_path):
    # A package that could not even be imported: it is not asked.
    package = write_package(tmp_path / "package", at_import="raise SystemExit")
    metadata = json.loads((package / "metadata.json").read_text())
    next(iter(metadata.values()))["execution"]["output"] = {"image": spec}
    (package / "metadata.json").write_text(json.dumps(metadata))
    with Generators() as own, pytest.raises(ArgumentError, match=reason):
        own.generate(None, 2, tmp_path / "run", package=package, output_format="png")
    assert not (tmp_path / "run").exists()


def test_formats_that_are_not_asked_for_are_not_imported(tmp_path):
    code = (
        "import sys; from medmint import Generators\n"
        "with Generators() as generators: generators.generate(10001, 1, sys.argv[1], seed=1)\n"
        "print({'pydicom', 'highdicom', 'nibabel', 'pandas'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
