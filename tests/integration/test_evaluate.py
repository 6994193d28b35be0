"""Models are judged from end to end: real worker, real files, command line."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from medmint import Generators
from medmint.cli.main import main
from medmint.errors import MetricError
from medmint.metrics.inception import InceptionV3
from medmint.model_evaluator.sensitivity import Variations
from tests.fakes.textures import textures
from tests.packages.builders import catalogue_of, write_package

MODEL_ID = "10002_FASTGAN_ENDOSCOPY_POLYP_W_MASKS"
REAL = textures(14, side=128, colour=True, seed=5)


@pytest.fixture
def folder(tmp_path):
    """Return a folder of real images."""
    (tmp_path / "real").mkdir()
    for number, image in enumerate(REAL):
        Image.fromarray(image).save(tmp_path / "real" / f"{number:02d}.png")
    return tmp_path / "real"


def package_of(folder, images, number):
    """Write a package that returns the given images, one after another."""
    folder.mkdir(parents=True)
    np.save(folder / "store.npy", images[:, None])
    return write_package(
        folder,
        number=number,
        at_import="from pathlib import Path\nSTORE = np.load(Path(__file__).parent / 'store.npy')",
        result='{"image": STORE[:num_samples]}',
    )


@pytest.mark.slow
def test_a_model_is_judged_and_the_report_says_on_what(folder, tmp_path):
    with Generators() as generators:
        report = generators.evaluate(10002, folder, extractor="descriptors", seed=3)
    assert report.subject == MODEL_ID
    assert report.failures == {}
    assert {row.n for row in report.rows} == {14, 7}
    facts = report.provenance
    assert (facts["seed"], facts["n"], facts["model_id"]) == (3, 14, MODEL_ID)
    assert facts["real"]["source"] == str(folder)
    assert len(facts["real"]["sha256"]) == len(facts["package_sha256"]) == 64
    assert facts["extractors"][0]["name"] == "descriptors"
    assert {picture.name for picture in report.pictures} == {
        "grids",
        "embedding_descriptors",
        "against_size_frechet_distance[descriptors]",
        "nearest_pairs",
        "nearest_distances",
    }
    report.save(tmp_path / "out")
    assert json.loads((tmp_path / "out" / "report.json").read_text())["subject"] == MODEL_ID


@pytest.mark.slow
def test_packages_that_copy_or_repeat_are_flagged_through_the_facade(tmp_path):
    train, holdout = textures(24, seed=1), textures(24, seed=2)
    copier = package_of(tmp_path / "copier", np.roll(train[:12, :, ::-1], 3, axis=1), 90101)
    repeater = package_of(tmp_path / "repeater", np.repeat(holdout[:1], 12, axis=0), 90102)
    with Generators(catalogue=catalogue_of(copier, repeater)) as generators:
        found = generators.evaluate_models(
            [90101, 90102],
            textures(12, seed=3),
            metrics=["precision_recall", "diversity", "privacy", "frechet_distance"],
            extractor="descriptors",
            train=train,
            holdout=holdout,
            seed=0,
        )
    copies, repeats = found.reports.values()
    assert any("returns training images" in one for one in copies.findings)
    assert copies.row("copied_share[pixels]").value == 1
    assert repeats.row("recall[descriptors]").value == 0
    assert any("collapsed" in one for one in repeats.findings)
    assert [line["model_id"] for line in found.rows()] == list(found.reports)
    assert len(found.pictures) == 1


def test_suitability_says_what_fits_and_what_does_not(folder):
    with Generators() as generators:
        fitting = generators.suitability(10002, folder, domain="endoscopy", seed=1)
        other = generators.suitability(10001, textures(8, side=64), domain="colon", seed=1)
    outcomes = {check.step: check.outcome for check in fitting.checks}
    assert list(outcomes) == ["domain", "size", "channels", "intensity", "features"]
    assert [outcomes[step] for step in ("domain", "size", "channels")] == ["fits"] * 3
    assert MODEL_ID in fitting.verdict
    assert "does not fit" in other.verdict
    assert "domain" in other.verdict
    assert "resize" in next(check.advice for check in other.checks if check.step == "size")


def test_suitability_of_grey_images_is_measured_in_grey_and_odd_ones_are_named():
    with Generators() as generators:
        samples = generators.generate(10002, num_samples=12, seed=7, save_images=False)
        grey = [image.mean(axis=-1).astype(np.uint8) for image, _ in samples]
        found = generators.suitability(10002, grey, seed=1)
        black = generators.suitability(10002, np.zeros((6, 128, 128), dtype=np.uint8), seed=1)
    outcomes = {check.step: check.outcome for check in found.checks}
    assert (outcomes["channels"], outcomes["features"]) == ("look", "fits")
    assert "6 of 6 images have one value only" in str(black)
    (intensity,) = (check.advice for check in black.checks if check.step == "intensity")
    assert float(intensity.split()[-3]) < 256


def test_suitability_of_volumes_for_a_model_of_images_is_refused():
    volumes = np.zeros((3, 16, 16, 10), dtype=np.uint8)
    with Generators() as generators, pytest.raises(MetricError, match="kind that 10001"):
        generators.suitability(10001, volumes, seed=1)


@pytest.mark.slow
def test_sensitivity_of_a_model(folder):
    variations = Variations(extractors=["descriptors"], sides=[64], sizes=[7, 14], seeds=[0])
    with Generators() as generators:
        found = generators.fid_sensitivity(10002, folder, variations=variations, seed=1)
    assert len(found.points) == 4


def test_the_command_prints_saves_and_fills_a_record(folder, tmp_path, capsys):
    record = tmp_path / "metadata.json"
    record.write_text(json.dumps(Generators().get_config_by_id(10002)))
    arguments = ["evaluate", "10002", "--real", str(folder), "--metrics", "kid,diversity"]
    arguments += ["--extractor", "descriptors", "--seed", "3", "--output", str(tmp_path / "out")]
    assert main([*arguments, "--record", str(record)]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "kid[descriptors]" in printed.out
    assert f"saved {tmp_path / 'out' / 'report.html'}" in printed.out
    performance = json.loads(record.read_text())["selection"]["performance"]
    content = json.loads((tmp_path / "out" / "report.json").read_text())
    assert performance["kid[descriptors]"] == content["rows"][0]["value"]
    assert Generators().is_model_metadata_valid(MODEL_ID, json.loads(record.read_text()))


def test_synthetic_folders_are_judged_without_a_model(folder, capsys):
    arguments = ["evaluate", "--real", str(folder), "--synthetic", str(folder), "--seed", "1"]
    arguments += ["--metrics", "kid", "--extractor", "descriptors"]
    assert main(arguments) == 0
    assert "real and synthetic are the same" in capsys.readouterr().out
    assert main([*arguments, "--json", "--output", str(folder / "00.png" / "out")]) == 2
    assert json.loads(capsys.readouterr().out)["rows"][0]["metric"] == "kid[descriptors]"


@pytest.mark.slow
def test_weights_are_named_on_the_command_line(tmp_path, capsys):
    torch.manual_seed(0)
    file = tmp_path / "InceptionV3.safetensors"
    save_file(InceptionV3(fid=False).state_dict(), file)
    np.save(tmp_path / "real.npy", np.zeros((4, 32, 32), dtype=np.uint8))
    real = str(tmp_path / "real.npy")
    arguments = ["evaluate", "--real", real, "--synthetic", real, "--metrics", "kid", "--json"]
    assert main([*arguments, "--extractor", "radimagenet", "--weights", str(file)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["rows"][0]["metric"] == "kid[radimagenet]"
    (extractor,) = report["provenance"]["extractors"]
    assert extractor["weights_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["evaluate", "--real", "x"], "--synthetic"),
        (["evaluate", "10002", "--real", "nowhere"], "not there"),
        (["evaluate", "10002", "--real", ".", "--metrics", "magic"], "magic"),
        (["evaluate", "10002"], "--real"),
        (["evaluate", "10002", "--real", ".", "--weights", "weights.pth"], "--extractor"),
        (
            ["evaluate", "10002", "--real", ".", "--extractor", "descriptors", "--weights", "x"],
            "inception or radimagenet",
        ),
        (
            ["evaluate", "10002", "--real", ".", "--extractor", "inception", "--weights", "no.pth"],
            "no.pth",
        ),
        (
            ["evaluate", "1", "--real", ".", "--extractor", "inception", "--weights", "wrong.pth"],
            hashlib.sha256(b"wrong").hexdigest(),
        ),
        (["suitability", "10002", "nowhere"], "not there"),
        (["evaluate", "10002", "--real", "nowhere", "--record", "none.json"], "none.json"),
        (["evaluate", "10001", "10002", "--real", "nowhere", "--record", "x"], "one model"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_code_two(
    arguments, words, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("wrong.pth").write_bytes(b"wrong")
    try:
        code = main(arguments)
    except SystemExit as end:
        code = end.code
    assert code == 2
    error = capsys.readouterr().err
    assert words in error
    assert len(error.splitlines()) == 1


def test_a_command_without_one_number_is_an_error(tmp_path, capsys):
    for name in ("real", "other"):
        (tmp_path / name).mkdir()
        for number, image in enumerate(textures(8, seed=len(name))):
            Image.fromarray(image).save(tmp_path / name / f"{number}.png")
    arguments = ["--real", tmp_path / "real", "--synthetic", tmp_path / "other"]
    code = main(["evaluate", *map(str, arguments), "--metrics", "usefulness"])
    captured = capsys.readouterr()
    assert code == 2
    assert "train" in captured.out
    assert captured.err == "medmint: No metric could be computed; the reasons stand above.\n"
