"""Generation from end to end, with the reference models and real worker processes."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medmint import Generators, Settings
from medmint.errors import ArgumentError, ContractError, IntegrityError, OutputError
from medmint.resources import template_folder
from medmint.samples import latent_vectors

POLYPS, PHANTOM = 10002, 10001
POLYPS_ID = "10002_FASTGAN_ENDOSCOPY_POLYP_W_MASKS"
PHANTOM_ID = "10001_PHANTOM_CT_HEAD_SLICE"
GENERATE = """
import json, sys
from medmint import Generators
with Generators() as generators:
    generators.generate(**json.loads(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def generators(tmp_path_factory):
    """One facade for all tests, so that the worker stays warm."""
    settings = Settings(home=tmp_path_factory.mktemp("home") / "medmint")
    with Generators(settings=settings) as made:
        yield made


@pytest.fixture(scope="module")
def saved(generators, tmp_path_factory):
    """Seventy polyps, in batches of 32 and of 9."""
    folder = tmp_path_factory.mktemp("saved")
    for size in (None, 9):
        generators.generate(POLYPS, 70, folder / f"{size or 32}", seed=7, batch_size=size)
    return folder


def content(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def manifest(folder):
    lines = (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def pixels(folder, kind):
    return np.stack([np.asarray(Image.open(path)) for path in sorted((folder / kind).iterdir())])


def phantoms(generators, **arguments):
    """Return a few phantoms, images and masks apart."""
    samples = generators.generate(PHANTOM, **{"num_samples": 3, "seed": 1} | arguments)
    return [np.stack(arrays) for arrays in zip(*samples, strict=True)]


def assert_same(one, other):
    for left, right in zip(one, other, strict=True):
        np.testing.assert_array_equal(left, right)


# Saved


def test_seventy_samples_are_seventy_images_masks_and_lines(saved):
    folder = saved / "32"
    header, *lines = manifest(folder)
    assert len(list((folder / "images").iterdir())) == 70
    assert len(list((folder / "masks").iterdir())) == 70
    assert [line["index"] for line in lines] == list(range(70))
    assert sorted(path.name for path in folder.iterdir()) == ["images", "manifest.jsonl", "masks"]
    assert pixels(folder, "images").shape == (70, 128, 128, 3)
    assert set(np.unique(pixels(folder, "masks"))) == {0, 255}
    assert (header["seed"], header["batch_size"], header["model_id"]) == (7, 32, POLYPS_ID)


def test_the_manifest_says_under_which_terms_and_nothing_of_this_machine(saved):
    header = manifest(saved / "32")[0]
    assert header["license"] == "CC-BY-4.0"
    assert header["citation"][0]["key"] == "borgli2020"
    assert len(header["package_sha256"]) == len(header["weights_sha256"]) == 64
    text = (saved / "32" / "manifest.jsonl").read_text()
    assert str(saved) not in text
    assert os.uname().nodename not in text
    assert time.strftime("%Y-%m-%d") not in text


def test_another_batch_size_gives_the_same_samples(saved):
    one, other = (pixels(saved / size, "images").astype(int) for size in ("32", "9"))
    assert np.abs(one - other).max() <= 1
    one, other = (pixels(saved / size, "masks") for size in ("32", "9"))
    assert (one == other).mean() >= 0.999


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_run_ends_as_if_it_had_not_been(generators, saved, tmp_path):
    folder = tmp_path / "killed"
    call = {
        "model_id": POLYPS,
        "num_samples": 70,
        "seed": 7,
        "batch_size": 9,
        "output_path": str(folder),
    }
    process = subprocess.Popen(
        [sys.executable, "-c", GENERATE, json.dumps(call)],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while process.poll() is None and count_lines(folder) < 19:
            time.sleep(0.002)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert 19 <= count_lines(folder) < 71, "it was to be killed in the middle"
    call["output_path"] = folder
    generators.generate(**call)
    assert content(folder) == content(saved / "9")


def count_lines(folder):
    try:
        return (folder / "manifest.jsonl").read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def test_the_same_call_again_changes_nothing(generators, saved):
    before = content(saved / "9")
    generators.generate(POLYPS, 70, saved / "9", seed=7)
    assert content(saved / "9") == before


def test_returned_samples_are_the_saved_ones(generators, saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    samples = generators.generate(POLYPS, 70, seed=7, save_images=False)
    assert len(samples) == 70
    assert all(isinstance(sample, tuple) and len(sample) == 2 for sample in samples)
    images, masks = (np.stack(arrays) for arrays in zip(*samples, strict=True))
    np.testing.assert_array_equal(images, pixels(saved / "32", "images"))
    np.testing.assert_array_equal(masks, pixels(saved / "32", "masks"))
    assert list(tmp_path.iterdir()) == []


def test_a_larger_number_extends(generators, tmp_path):
    generators.generate(PHANTOM, 5, tmp_path / "steps", seed=3, batch_size=4)
    result = generators.generate(PHANTOM, 10, tmp_path / "steps")
    assert (result.count, result.seed) == (10, 3)
    generators.generate(PHANTOM, 10, tmp_path / "once", seed=3, batch_size=4)
    assert content(tmp_path / "steps") == content(tmp_path / "once")


def test_another_run_is_refused_and_overwrite_replaces_what_it_listed(generators, tmp_path):
    folder = tmp_path / "run"
    generators.generate(PHANTOM, 5, folder, seed=3)
    (folder / "images" / "mine.txt").write_text("mine")
    before = content(folder)
    for changes in ({"seed": 4}, {"noise": 1.0}, {"output_format": "npy"}, {"num_samples": 4}):
        with pytest.raises(OutputError, match="overwrite=True"):
            generators.generate(PHANTOM, **{"num_samples": 5, "output_path": folder} | changes)
        assert content(folder) == before
    generators.generate(PHANTOM, 2, folder, seed=4, overwrite=True, output_format="npy")
    generators.generate(PHANTOM, 2, tmp_path / "other", seed=4, output_format="npy")
    assert content(folder) == content(tmp_path / "other") | {"images/mine.txt": b"mine"}


def test_without_a_folder_every_run_gets_a_new_one(generators, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = [generators.generate(PHANTOM, 1, seed=3) for _ in range(2)]
    parent = Path("output") / PHANTOM_ID
    assert [result.folder for result in results] == [parent / "run-001", parent / "run-002"]
    assert content(parent / "run-001") == content(parent / "run-002")


def test_formats_hold_the_same_values(generators, tmp_path):
    png, npy = tmp_path / "png", tmp_path / "npy"
    generators.generate(PHANTOM, 2, png, seed=3)
    result = generators.generate(PHANTOM, 2, npy, seed=3, output_format="npy")
    offset = manifest(png)[0]["offsets"]["image"]
    values = np.stack([np.load(path) for path in result.paths])
    assert values.dtype == np.int16
    np.testing.assert_array_equal(pixels(png, "images").astype(int) + offset, values)
    assert_same(phantoms(generators, num_samples=2, seed=3, save_images=False)[:1], [values])


# Returned


def test_a_working_directory_that_cannot_be_written_is_no_obstacle(tmp_path, monkeypatch):
    home, gone = tmp_path / "home", tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    if sys.platform == "win32" or os.geteuid() != 0:
        gone.chmod(0o500)
    else:
        # Nothing is closed to root, but no one can write to a folder that was removed.
        gone.rmdir()
    with Generators(settings=Settings(home=home)) as generators:
        assert len(phantoms(generators, save_images=False)[0]) == 3
    assert not home.exists()


def test_a_missing_seed_is_drawn_and_told(generators, tmp_path):
    first = generators.generate(PHANTOM, 1, tmp_path / "a")
    second = generators.generate(PHANTOM, 1, tmp_path / "b")
    assert first.seed != second.seed
    assert manifest(first.folder)[0]["seed"] == first.seed
    again = phantoms(generators, num_samples=1, seed=first.seed, save_images=False)
    stored = (
        pixels(first.folder, "images").astype(int) + manifest(first.folder)[0]["offsets"]["image"]
    )
    np.testing.assert_array_equal(again[0], stored)


def test_a_number_and_the_full_id_are_the_same(generators):
    for method in ("info", "cite", "get_config_by_id", "is_model_executor_already_added"):
        answers = [getattr(generators, method)(one) for one in (PHANTOM, "10001", PHANTOM_ID)]
        assert answers[0] == answers[1] == answers[2]
    arrays = [phantoms(generators, save_images=False)]
    for one in ("10001", PHANTOM_ID):
        samples = generators.generate(one, 3, seed=1, save_images=False)
        arrays.append([np.stack(part) for part in zip(*samples, strict=True)])
        assert_same(arrays[0], arrays[-1])
        function = generators.get_generate_function(one, 3, seed=1)
        assert_same(arrays[0], [np.stack(part) for part in zip(*function(), strict=True)])
    executors = [generators.get_model_executor(one) for one in (PHANTOM, "10001", PHANTOM_ID)]
    assert executors[0] is executors[1] is executors[2]
    assert generators.find_model_executor_by_id("10001") is executors[0]
    generators.model_executors.clear()


def test_arguments_of_one_call_do_not_stick(generators, tmp_path):
    function = generators.get_generate_function(PHANTOM, 2, seed=1)
    first = function()
    assert len(function(num_samples=1, seed=5, noise=0.0)) == 1
    assert function(output_path=tmp_path / "run", save_images=True).count == 2
    second = function()
    assert_same(
        [np.stack(s) for s in zip(*first, strict=True)], map(np.stack, zip(*second, strict=True))
    )
    with pytest.raises(ArgumentError, match="an option of"):
        function(nosie=1)
    assert len(function()) == 2


def test_this_process_can_do_the_workers_job(generators):
    path, modules, cwd = list(sys.path), set(sys.modules), Path.cwd()
    random.seed(1)
    state = random.getstate()
    inline = phantoms(generators, save_images=False, isolation="none")
    assert_same(inline, phantoms(generators, save_images=False))
    assert (sys.path, Path.cwd()) == (path, cwd)
    assert not {name for name in set(sys.modules) - modules if name in ("phantom", "network")}
    assert random.getstate() == state


# Options, latents, conditions


def test_given_latents_are_used(generators, tmp_path):
    vectors = latent_vectors(1, 0, 3, 32)
    np.save(tmp_path / "z.npy", vectors)
    drawn = phantoms(generators, save_images=False)
    for latents in (vectors, vectors.tolist(), tmp_path / "z.npy"):
        samples = generators.generate(PHANTOM, latents=latents, save_images=False)
        assert_same(drawn, [np.stack(part) for part in zip(*samples, strict=True)])


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"latents": np.zeros((3, 31))}, "latents"),
        ({"latents": np.zeros((3, 32)), "num_samples": 4}, "num_samples"),
        ({"condition": 0}, "condition"),
        ({"condition": "polyp"}, "condition"),
        ({"nosie": 1}, "nosie"),
        ({"noise": float("nan")}, "noise"),
        ({"package": "no such folder"}, "package"),
        ({"weights": "no such file"}, "weights"),
    ],
)
def test_what_the_model_does_not_take_is_refused(generators, tmp_path, arguments, named):
    with pytest.raises(ArgumentError) as caught:
        generators.generate(PHANTOM, output_path=tmp_path / "run", **arguments)
    assert caught.value.argument == named
    assert list(tmp_path.iterdir()) == []


def test_options_change_the_samples(generators):
    calm = phantoms(generators, save_images=False, noise=0.0)
    assert not np.array_equal(calm[0], phantoms(generators, save_images=False)[0])
    assert_same(calm[1:], phantoms(generators, save_images=False)[1:])


# Packages of the user


@pytest.fixture
def own_package(tmp_path):
    return Path(shutil.copytree(template_folder("minimal"), tmp_path / "own"))


def test_truncated_weights_are_noticed_before_anything_runs(generators, own_package, tmp_path):
    weights = own_package / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(IntegrityError) as caught:
        generators.generate(None, 2, tmp_path / "run", package=own_package)
    assert caught.value.path == str(weights)
    assert "bytes" in caught.value.expected
    assert not (tmp_path / "run").exists()


def test_own_packages_run_and_are_marked(generators, own_package, tmp_path):
    generators.generate(None, 2, tmp_path / "run", package=own_package, output_format="npy")
    header = manifest(tmp_path / "run")[0]
    assert header["modified"] is True
    assert header["model_id"] == "90001_MINIMAL_SAMPLER"


def test_what_png_cannot_hold_leaves_no_trace(generators, own_package, tmp_path):
    metadata = own_package / "metadata.json"
    metadata.write_text(metadata.read_text().replace('"spatial_dims": 2', '"spatial_dims": 3'))
    with pytest.raises(ArgumentError, match="npy: image is a volume"):
        generators.generate(None, 2, tmp_path / "run", package=own_package, output_format="png")
    assert not (tmp_path / "run").exists()


def test_default_format_is_npy_where_png_cannot_hold_the_output(generators, own_package, tmp_path):
    generators.generate(None, 1, tmp_path / "pictures", package=own_package)
    assert manifest(tmp_path / "pictures")[0]["output_format"] == "png"
    code, metadata = own_package / "__init__.py", own_package / "metadata.json"
    metadata.write_text(metadata.read_text().replace('"spatial_dims": 2', '"spatial_dims": 3'))
    code.write_text(code.read_text().replace("1, SIDE, SIDE)", "1, 4, 8, SIDE)"))
    generators.generate(None, 1, tmp_path / "volumes", package=own_package)
    header, sample = manifest(tmp_path / "volumes")
    assert header["output_format"] == "npy"
    assert np.load(tmp_path / "volumes" / sample["image"]).ndim == 3


def test_a_package_that_breaks_its_contract_is_named(generators, own_package, tmp_path):
    code = own_package / "__init__.py"
    code.write_text(code.read_text().replace("reshape(-1, 1,", "reshape(-1, 2,"))
    code.write_text(code.read_text().replace("SIDE, SIDE)}", "SIDE // 2, SIDE)}"))
    with pytest.raises(ContractError, match="90001_MINIMAL_SAMPLER"):
        generators.generate(None, 2, package=own_package, save_images=False)


def test_samples_of_a_generate_package_depend_on_the_batch_plan_alone(generators, tmp_path):
    folder = template_folder("minimal_generate")
    for name in ("a", "b"):
        generators.generate(None, 5, tmp_path / name, package=folder, seed=1, batch_size=2)
    assert content(tmp_path / "a") == content(tmp_path / "b")
    assert manifest(tmp_path / "a")[0]["reproducible"] == "batch"
