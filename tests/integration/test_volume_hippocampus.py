"""The volume package: its data, its training, its sampler, and its files in other formats."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
import torch
from safetensors import safe_open

from medmint import Generators
from medmint.errors import ContractError
from medmint.resources import template_folder

FOLDER = template_folder("volume_hippocampus")
MODEL_ID = "10005_VOLUME_MRI_HIPPOCAMPUS"
SHAPE = (32, 48, 32)
LATENT_SIZE = 2 * 4 * 6 * 4
TINY = ["--widths", "8", "8", "8", "--channels", "2", "--width", "8"]
TINY += ["--autoencoder-steps", "4", "--steps", "4", "--autoencoder-batch", "2", "--batch", "4"]
TINY += ["--copies", "1", "--validate-every", "2", "--checkpoint-every", "1", "--threads", "1"]
TINY += ["--device", "cpu", "--no-card"]


def load_package() -> Any:
    """Import the package from its folder, as a worker does."""
    name = "reference_volume_hippocampus"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            name, FOLDER / "__init__.py", submodule_search_locations=[str(FOLDER)]
        )
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


def made_up(count: int) -> dict[str, np.ndarray]:
    """Return bright volumes in a box, with two balls for parts."""
    random = np.random.default_rng(0)
    images = np.zeros((count, *SHAPE), np.uint8)
    labels = np.zeros_like(images)
    grid = np.indices(SHAPE)
    for i in range(count):
        low = random.integers(1, 5, 3)
        box = tuple(slice(a, side - a) for a, side in zip(low, SHAPE, strict=True))
        images[i][box] = random.integers(60, 200, images[i][box].shape)
        for label, centre in ((1, (16, 32, 15)), (2, (16, 18, 18))):
            distance = sum((axis - c) ** 2 for axis, c in zip(grid, centre, strict=True))
            labels[i][distance < random.integers(14, 30)] = label
        images[i][labels[i] > 0] //= 2
    ids = np.array([f"case_{i}" for i in range(count)])
    return {"images": images, "labels": labels, "ids": ids}


def write_folder(folder: Path, arrays: dict[str, np.ndarray], train: int = 10) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "volumes.npz", **arrays)
    ids = [str(name) for name in arrays["ids"].ravel()]
    (folder / "split_train.txt").write_text("\n".join(ids[:train]))
    (folder / "split_val.txt").write_text("\n".join(ids[train:]))
    return folder


def command(data: Path, out: Path, *more: str) -> list[str]:
    return [sys.executable, "train.py", "--data", str(data), "--out", str(out), *TINY, *more]


def run(data: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(data, out, *more), cwd=FOLDER, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("data"), made_up(18))


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a training that nothing disturbed."""
    out = tmp_path_factory.mktemp("trained") / "out"
    done = run(data, out)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def sampler(trained: Path) -> Any:
    return load_package().load(str(trained / "weights.safetensors"))


@pytest.fixture(scope="module")
def latents() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((3, LATENT_SIZE)).astype(np.float32)


class TestTraining:
    def test_writes_what_it_says(self, trained: Path) -> None:
        for phase, picture in (("autoencoder", "val"), ("denoiser", "drawn")):
            lines = (trained / phase / "log.csv").read_text().splitlines()
            assert [line.partition(",")[0] for line in lines] == ["step", "2", "4"]
            assert {"autoencoder": "val_difference", "denoiser": "val_distance"}[phase] in lines[0]
            assert len(list((trained / phase).glob(f"{picture}_*.png"))) == 2
        with safe_open(trained / "weights.safetensors", framework="pt") as file:
            assert file.metadata()["shape"] == "32 48 32"
            kinds = {file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118
        assert kinds == {torch.float16}

    @pytest.mark.parametrize("phase", ["autoencoder", "denoiser"])
    def test_killed_and_resumed_ends_in_the_same_weights(
        self, data: Path, trained: Path, tmp_path: Path, phase: str
    ) -> None:
        if phase == "denoiser":
            shutil.copytree(trained / "autoencoder", tmp_path / "autoencoder")
        started = command(data, tmp_path)
        child = subprocess.Popen(started, cwd=FOLDER, stderr=subprocess.DEVNULL)
        checkpoint = tmp_path / phase / "checkpoint.pt"
        seen: set[int] = set()
        while len(seen) < 3 and child.poll() is None:
            if checkpoint.exists():
                seen.add(checkpoint.stat().st_mtime_ns)
            time.sleep(0.002)
        os.kill(child.pid, signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
        assert torch.load(checkpoint, weights_only=True)["step"] < 4
        done = run(data, tmp_path)
        assert done.returncode == 0, done.stderr
        for name in ("weights.safetensors", "autoencoder/log.csv", "denoiser/log.csv"):
            assert (tmp_path / name).read_bytes() == (trained / name).read_bytes()

    def test_goes_on_from_weights(self, data: Path, trained: Path, tmp_path: Path) -> None:
        first = trained / "weights.safetensors"
        done = run(data, tmp_path, "--init", str(first), "--autoencoder-steps", "1", "--steps", "1")
        assert done.returncode == 0, done.stderr
        with (
            safe_open(first, framework="pt") as one,
            safe_open(tmp_path / "weights.safetensors", framework="pt") as other,
        ):
            for name in ("autoencoder.encoder.0.weight", "denoiser.entry.weight"):
                before, after = one.get_tensor(name), other.get_tensor(name)
                assert not bool((before == after).all())
                torch.testing.assert_close(after, before, atol=5e-3, rtol=0)

    @pytest.mark.parametrize(
        ("more", "told"),
        [
            (["--init", "no.safetensors"], "no weights of this network"),
            (["--widths", "8", "8", "6"], "multiples of 8"),
            (["--copies", "0"], "--copies"),
            (["--steps", "0"], "--steps: got 0, expected a positive whole number"),
            (["--autoencoder-steps", "0"], "--autoencoder-steps: got 0"),
        ],
    )
    def test_bad_options_are_said_at_once(
        self, data: Path, tmp_path: Path, more: list[str], told: str
    ) -> None:
        done = run(data, tmp_path / "out", *more)
        assert done.returncode == 2
        assert told in done.stderr
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "out").exists()


def wrong_folders() -> dict[str, tuple[dict[str, Any], str]]:
    good = made_up(18)
    images, labels = good["images"], good["labels"]
    return {
        "no labels": ({"labels": None}, "not labels"),
        "labels of 3": ({"labels": labels + 1}, "expected 0, 1, 2"),
        "other type": ({"images": images.astype(np.float32)}, "expected uint8"),
        "other number": ({"labels": labels[:5]}, "do not go together"),
        "too thin": ({"images": images[..., :24], "labels": labels[..., :24]}, "multiple of 16"),
        "fewer ids": ({"ids": good["ids"][:9]}, "do not go together"),
        "id twice": ({"ids": np.array(["case_0"] * 18)}, "there twice"),
        "ids in a table": ({"ids": good["ids"][:, None]}, "ids are"),
        "one id": ({"ids": np.array("case_0")}, "ids are"),
        "no text": (
            {"ids": np.array([f"case_{i}\xe9".encode("latin-1") for i in range(18)])},
            "ids",
        ),
        "ids of floats": ({"ids": np.arange(18.0)}, "ids are"),
        "labels of text": ({"labels": labels.astype(str)}, "labels are"),
    }


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return what is said of each wrong folder, all of them read by one process."""
    root = tmp_path_factory.mktemp("wrong")
    good = made_up(18)
    for name, (change, _) in wrong_folders().items():
        arrays = {key: value for key, value in (good | change).items() if value is not None}
        write_folder(root / name, arrays)
    write_folder(root / "few", made_up(18), train=3)
    write_folder(root / "unknown id", good)
    (root / "unknown id" / "split_val.txt").write_text("nobody")
    write_folder(root / "both sides", good)
    (root / "both sides" / "split_val.txt").write_text("\n".join(good["ids"][5:]))
    write_folder(root / "no list", good)
    (root / "no list" / "split_val.txt").unlink()
    write_folder(root / "torn", good)
    (root / "torn" / "volumes.npz").write_bytes(b"PK nothing")
    (root / "empty").mkdir()
    write_folder(root / "npy", good)
    with (root / "npy" / "volumes.npz").open("wb") as file:
        np.save(file, good["images"])
    write_folder(root / "damaged", good)
    np.savez_compressed(root / "damaged" / "volumes.npz", **good)
    content = bytearray((root / "damaged" / "volumes.npz").read_bytes())
    content[200:264] = b"\xff" * 64
    (root / "damaged" / "volumes.npz").write_bytes(content)
    for side in ("train", "val"):
        write_folder(root / f"latin {side}", good)
        (root / f"latin {side}" / f"split_{side}.txt").write_bytes(b"case_\xe9")
    write_folder(root / "marked", good)
    for path in (root / "marked").glob("split_*.txt"):
        path.write_text(path.read_text(), encoding="utf-8-sig")
    code = (
        "import json, sys; from pathlib import Path; from volumes import read_volumes\n"
        "told = {}\n"
        "for folder in sorted(Path(sys.argv[1]).iterdir()):\n"
        "    try: read_volumes(folder, 'train'), read_volumes(folder, 'val')\n"
        "    except Exception as error: "
        "told[folder.name] = f'{type(error).__name__}: {error}'\n"
        "print(json.dumps(told))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(root)],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


class TestData:
    """Bad training data are named before anything is trained."""

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            *((name, expected) for name, (_, expected) in wrong_folders().items()),
            ("few", "at least 8 are needed"),
            ("unknown id", "nobody"),
            ("both sides", "case_5"),
            ("no list", "split_val.txt"),
            ("torn", "cannot be read"),
            ("empty", "prepare_data.py"),
            ("npy", "cannot be read"),
            ("damaged", "cannot be read"),
            ("latin train", "split_train.txt: it cannot be read"),
            ("latin val", "split_val.txt: it cannot be read"),
        ],
    )
    def test_is_refused(self, told: dict[str, str], name: str, expected: str) -> None:
        assert told[name].startswith("TrainingError")
        assert expected in told[name]

    def test_mark_at_the_start_of_a_list_is_no_part_of_an_id(self, told: dict[str, str]) -> None:
        assert "marked" not in told

    def test_comes_from_the_public_archive(self, tmp_path: Path) -> None:
        random = np.random.default_rng(0)
        source = tmp_path / "Task04_Hippocampus"
        for folder in ("imagesTr", "labelsTr"):
            (source / folder).mkdir(parents=True)
        voxels = random.normal(300, 40, (35, 51, 34)).astype(np.float32)
        labels = np.zeros(voxels.shape, np.uint8)
        labels[10:14, 20:26, 8:12], labels[10:14, 12:20, 8:12] = 1, 2
        for number in (3, 6, 1, 118):
            name = f"hippocampus_{number:03d}.nii.gz"
            for folder, array in (("imagesTr", voxels), ("labelsTr", labels)):
                # Stored from right to left, as some files are.
                affine = np.diag([-1.0, 1, 1, 1])
                nibabel.Nifti1Image(array[::-1], affine).to_filename(source / folder / name)
        archive = tmp_path / "Task04_Hippocampus.tar"
        with tarfile.open(archive, "w") as tar:
            tar.add(source, "Task04_Hippocampus")
        made = tmp_path / "data"
        done = subprocess.run(
            [sys.executable, "prepare_data.py", "--archive", str(archive), "--out", str(made)],
            cwd=FOLDER,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        arrays = np.load(made / "volumes.npz")
        assert arrays["ids"].tolist() == [f"hippocampus_{n:03d}" for n in (1, 3, 6)]
        low, high = np.percentile(voxels, (0.5, 99.5))
        expected = np.rint((np.clip(voxels, low, high) - low) / (high - low) * 255)
        np.testing.assert_array_equal(arrays["images"][0][6:41, 6:57, 7:41], expected)
        assert arrays["images"][0].astype(int).sum() == int(expected.sum())
        np.testing.assert_array_equal(arrays["labels"][1][6:41, 6:57, 7:41], labels)
        for side, number in (("test", 1), ("train", 3), ("val", 6)):
            assert (made / f"split_{side}.txt").read_text() == f"hippocampus_{number:03d}\n"


class TestSampler:
    def test_gives_volumes_with_parts_in_a_box(self, sampler: Any, latents: np.ndarray) -> None:
        made = sampler.sample(latents, steps=3)
        image, mask = made["image"], made["mask"]
        assert image.shape == mask.shape == (3, 1, *SHAPE)
        assert (image.dtype, mask.dtype) == (np.float32, np.uint8)
        assert 0 <= image.min() <= image.max() <= 1
        assert set(np.unique(mask)) <= {0, 1, 2}

    def test_latent_vector_alone_fixes_the_sample(self, sampler: Any, latents: np.ndarray) -> None:
        together = sampler.sample(latents, steps=3)
        torch.rand(3)
        for i in range(3):
            alone = sampler.sample(latents[i : i + 1], steps=3)
            np.testing.assert_allclose(alone["image"][0], together["image"][i], atol=1e-4)
            assert (alone["mask"][0] != together["mask"][i]).mean() < 1e-3

    def test_a_piece_that_is_not_the_largest_goes(self) -> None:
        labels = np.zeros((1, 1, 16, 16, 16), np.uint8)
        labels[..., 1:5, 1:5, 1:5], labels[..., 8:10, 8:10, 8:10] = 1, 1
        labels[..., 12:15, 2:4, 2:4] = 2
        kept = load_package().keep_largest(labels)
        assert kept.sum() == 64 + 2 * 12
        assert kept[0, 0, 9, 9, 9] == 0

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            ({"latents": np.zeros((2, 63), np.float32)}, "expected \\(n, 192\\)"),
            ({"condition": np.array([0, 1])}, "one class"),
            ({"steps": 0}, "1 to 1000"),
            ({"steps": 2.5}, "1 to 1000"),
        ],
    )
    def test_bad_values_are_named(self, sampler: Any, arguments: dict[str, Any], told: str) -> None:
        given = {"latents": np.zeros((2, LATENT_SIZE), np.float32)} | arguments
        with pytest.raises(ValueError, match=told):
            sampler.sample(**given)


class TestGaussian:
    """The network is added to what would be exact if latent maps were Gaussian."""

    @pytest.mark.parametrize("steps", [25, 100, 1_000])
    def test_unlearnt_denoiser_draws_from_the_gaussian(self, steps: int) -> None:
        network = sys.modules[load_package().__name__ + ".network"]
        random = torch.Generator().manual_seed(0)
        basis = torch.randn(3, 64, generator=random) * torch.tensor([[4.0], [1.0], [0.2]])
        maps = (torch.randn(400, 3, generator=random) @ basis + 2).reshape(400, 1, 4, 4, 4)
        model = network.VolumeModel((32, 32, 32), widths=(8, 8, 8), channels=1, width=8)
        model.denoiser.fit_gaussian(maps, 0.01)
        # Each direction by itself: a matrix as latent vectors shows what becomes of all of them.
        with torch.inference_mode():
            nothing = model.denoise(torch.zeros(1, 64), steps).flatten(1)
            linear = model.denoise(torch.eye(64), steps).flatten(1) - nothing
        wanted = torch.cov(maps.flatten(1).T) + 0.01 * torch.eye(64)
        torch.testing.assert_close(nothing[0], maps.flatten(1).mean(dim=0), atol=0.05, rtol=0)
        error = (linear.T @ linear - wanted).norm() / wanted.norm()
        assert float(error) < 0.04

    def test_shares_of_signal_and_noise_make_one(self) -> None:
        network = sys.modules[load_package().__name__ + ".network"]
        alpha, sigma = network.noise_levels(torch.arange(1000.0))
        torch.testing.assert_close(alpha**2 + sigma**2, torch.ones(1000))
        assert (alpha.diff() <= 0).all()


def use_wheel_without_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(
        FOLDER,
        tmp_path / "templates" / FOLDER.name,
        ignore=shutil.ignore_patterns("*.safetensors", "__pycache__"),
    )
    monkeypatch.setattr("medmint.resources._PACKAGED", tmp_path)


@pytest.fixture(scope="module")
def catalogue() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / "metadata.json").read_text())
    return found


class TestFiles:
    """What users of the library get, through a worker."""

    def test_wheel_says_where_the_weights_are(
        self, catalogue: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        use_wheel_without_weights(tmp_path, monkeypatch)
        with (
            Generators(catalogue=catalogue) as generators,
            pytest.raises(ContractError, match="stay in medmint's repository") as caught,
        ):
            generators.generate(
                10005, num_samples=1, output_path=str(tmp_path / "out"), output_format="npy"
            )
        assert "CC-BY-SA-4.0" in str(caught.value)
        assert "templates/volume_hippocampus/weights.safetensors" in str(caught.value)
        assert not (tmp_path / "out").exists()

    def test_wheel_runs_with_weights_that_were_fetched(
        self, catalogue: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        use_wheel_without_weights(tmp_path, monkeypatch)
        with Generators(catalogue=catalogue) as generators:
            ((image, mask),) = generators.generate(
                10005,
                num_samples=1,
                seed=1,
                steps=2,
                save_images=False,
                weights=str(FOLDER / "weights.safetensors"),
            )
        assert image.shape == mask.shape == (48, 64, 48)
        assert (image.dtype, mask.dtype) == (np.uint8, np.uint8)

    def test_nifti_has_voxels_of_a_millimetre_and_a_label_map(
        self, catalogue: dict[str, Any], tmp_path: Path
    ) -> None:
        with Generators(catalogue=catalogue) as generators:
            generators.generate(
                10005,
                num_samples=1,
                seed=1,
                steps=5,
                output_path=str(tmp_path / "out"),
                output_format="nifti",
            )
        image, mask = (
            nibabel.load(tmp_path / "out" / folder / "000000.nii.gz")
            for folder in ("images", "masks")
        )
        for volume in (image, mask):
            assert volume.shape == (48, 64, 48)
            assert nibabel.aff2axcodes(volume.affine) == ("R", "A", "S")
            assert volume.header.get_zooms() == (1, 1, 1)
        assert np.unique(np.asarray(mask.dataobj)).tolist() == [0, 1, 2]

    def test_dicom_has_slices_and_a_segmentation_of_two_parts(
        self, catalogue: dict[str, Any], tmp_path: Path
    ) -> None:
        with Generators(catalogue=catalogue) as generators:
            generators.generate(
                10005,
                num_samples=1,
                seed=1,
                steps=5,
                output_path=str(tmp_path / "out"),
                output_format="dicom",
            )
        files = [pydicom.dcmread(path) for path in (tmp_path / "out").rglob("*.dcm")]
        segmentations = [file for file in files if file.Modality == "SEG"]
        assert len(segmentations) == 1
        labels = [part.SegmentLabel for part in segmentations[0].SegmentSequence]
        assert labels == ["anterior hippocampus", "posterior hippocampus"]
