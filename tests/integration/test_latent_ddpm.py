"""The latent diffusion package: its data, its training, its sampler and the weights that it has."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

from medmint import Generators
from medmint.errors import OutputError, TrainingError
from medmint.model_trainer import condition_values, read_images, save_weights
from medmint.resources import template_folder
from tests.packages.trainings import training_folder

FOLDER = template_folder("latent_ddpm_chest_xray")
NETWORKS = ["--size", "32", "--autoencoder-widths", "4", "4", "4", "8"]
NETWORKS += ["--unet-widths", "8", "8", "8"]
TINY = [*NETWORKS, "--autoencoder-steps", "6", "--steps", "8", "--batch", "4"]
TINY += ["--autoencoder-batch", "4", "--pixels-first", "2", "--validate-every", "4"]
TINY += ["--checkpoint-every", "1", "--threads", "1", "--device", "cpu"]
TINY += ["--no-card"]


def load_module(file: str = "__init__.py") -> Any:
    """Import the package, or one script of it that needs no other, from its folder."""
    name = f"latent_ddpm_{Path(file).stem.strip('_')}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            name, FOLDER / file, submodule_search_locations=[str(FOLDER)]
        )
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


def command(data: Path, out: Path, *more: str) -> list[str]:
    return [sys.executable, "train.py", "--data", str(data), "--out", str(out), *TINY, *more]


def run(data: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(data, out, *more), cwd=FOLDER, capture_output=True, text=True, check=False
    )


def read_table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def draw_latents(count: int, size: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((count, size)).astype(np.float32)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return training_folder(tmp_path_factory.mktemp("data") / "folder", side=32, mode="L")


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a training of two conditions that nothing disturbed."""
    out = tmp_path_factory.mktemp("trained") / "out"
    done = run(data, out, "--conditions", "view", "sex")
    assert done.returncode == 0, done.stderr
    return out


def read_facts(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="pt") as file:
        facts: dict[str, Any] = json.loads(file.metadata()["facts"])
    return facts


@pytest.fixture(scope="module")
def sampler(trained: Path) -> Any:
    return load_module().load(str(trained / "weights.safetensors"))


class TestTraining:
    def test_writes_what_it_says(self, trained: Path) -> None:
        for phase, sheet in (("autoencoder", "pairs"), ("diffusion", "samples")):
            rows = read_table(trained / phase / "log.csv")
            assert [row["step"] for row in rows][-1] in ("6", "8")
            assert all(float(row["val_frechet_distance"]) > 0 for row in rows)
            assert len(list((trained / phase).glob(f"{sheet}_*.png"))) == 2
        with safe_open(trained / "weights.safetensors", framework="pt") as file:
            halves = {file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118
        facts = read_facts(trained / "weights.safetensors")
        assert facts["conditions"] == {"view": ["AP", "PA"], "sex": ["F", "M"]}
        assert halves == {torch.float16}

    def test_best_weights_get_the_noise_gain_nearest_to_val(self, trained: Path) -> None:
        rows = read_table(trained / "noise_gain.csv")
        nearest = min(rows, key=lambda row: float(row["val_frechet_distance"]))
        gain = read_facts(trained / "weights.safetensors")["noise_gain"]
        assert gain == float(nearest["noise_gain"])
        assert rows[0]["noise_gain"] == "1"
        best = load_file(trained / "diffusion" / "weights.safetensors")
        for name, values in load_file(trained / "weights.safetensors").items():
            assert torch.equal(values, best[name])

    def test_loss_is_absolute_first_and_squared_from_a_step_on(
        self, data: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "network", load_module("network.py"))
        values = condition_values(data, ["view"])
        images = read_images(data, "train", size=32, channels=1, conditions=values)
        options = {"out": trained, "seed": 0, "init": None, "batch": 64, "values": values}
        options |= {"channels": 4, "autoencoder_widths": [4, 4, 4, 8], "unet_widths": [8, 8, 8]}
        options |= {"averaging": 0.9, "rate": 1e-3, "precision": "float32"}
        options |= {"device": "cpu"}
        losses = [
            load_module("phases.py")
            .DiffusionTrainee(
                images, images, Namespace(**options, squared_from=step), torch.device("cpu")
            )
            .advance(0)["velocity"]
            for step in (1, 0)
        ]
        # An untrained U-Net answers 0, so that the error is the velocity, whose variance is 1.
        assert losses[1] == pytest.approx(1, abs=0.05)
        assert losses[0] == pytest.approx((2 / np.pi) ** 0.5, abs=0.05)

    def test_texture_is_learnt_after_the_pixels(self, trained: Path) -> None:
        rows = read_table(trained / "autoencoder" / "log.csv")
        assert all(float(row["judge"]) > 0 for row in rows)  # steps 4 and 6, heard from 2 on

    @pytest.mark.slow
    def test_ends_in_a_card(self, data: Path, trained: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        shutil.copytree(trained, out)
        without = command(data, out, "--conditions", "view", "sex")
        without.remove("--no-card")
        done = subprocess.run(without, cwd=FOLDER, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        numbers = json.loads((out / "numbers.json").read_text())
        assert numbers["sections"].keys() == {"fidelity", "copying"}
        assert "train.py" in (out / "MODEL_CARD.md").read_text()

    @pytest.mark.parametrize("phase", ["autoencoder", "diffusion"])
    def test_killed_and_resumed_ends_in_the_same_weights(
        self, data: Path, trained: Path, tmp_path: Path, phase: str
    ) -> None:
        if phase == "diffusion":
            shutil.copytree(trained / "autoencoder", tmp_path / "autoencoder")
        started = command(data, tmp_path, "--conditions", "view", "sex")
        child = subprocess.Popen(started, cwd=FOLDER, stderr=subprocess.DEVNULL)
        # Once the first checkpoint is there, wait for another one: some steps are done then.
        checkpoint = tmp_path / phase / "checkpoint.pt"
        seen: set[int] = set()
        while len(seen) < 4 and child.poll() is None:
            if checkpoint.exists():
                seen.add(checkpoint.stat().st_mtime_ns)
            time.sleep(0.005)
        os.kill(child.pid, signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
        assert torch.load(checkpoint, weights_only=True)["step"] < {"autoencoder": 6}.get(phase, 8)
        done = run(data, tmp_path, "--conditions", "view", "sex")
        assert done.returncode == 0, done.stderr
        for part in ("autoencoder", "diffusion"):
            for name in ("weights.safetensors", "log.csv"):
                again, once = (folder / part / name for folder in (tmp_path, trained))
                assert again.read_bytes() == once.read_bytes()
        for name in ("weights.safetensors", "noise_gain.csv"):
            assert (tmp_path / name).read_bytes() == (trained / name).read_bytes()

    def test_goes_on_from_weights_on_images_of_other_classes(
        self, data: Path, trained: Path, tmp_path: Path
    ) -> None:
        first = trained / "weights.safetensors"
        few = ["--autoencoder-steps", "1", "--steps", "1", "--init", str(first)]
        done = run(data, tmp_path, *few, "--conditions", "sex")
        assert done.returncode == 0, done.stderr
        before = load_file(first)
        after = load_file(tmp_path / "weights.safetensors")
        for name in ("autoencoder.decoder.0.weight", "unet.entry.weight"):
            torch.testing.assert_close(after[name], before[name], atol=2e-3, rtol=0)
        assert after["classes.tables.0.weight"].shape == (3, 32)
        assert "classes.tables.1.weight" not in after

    def test_needs_no_table(self, data: Path, tmp_path: Path) -> None:
        plain = tmp_path / "data"
        shutil.copytree(data / "images", plain / "images")
        names = sorted(path.name for path in (plain / "images").iterdir())
        for side, some in (("train", names[:40]), ("val", names[40:50]), ("test", names[50:])):
            (plain / f"split_{side}.txt").write_text("\n".join(some) + "\n")
        done = run(plain, tmp_path / "out", "--autoencoder-steps", "1", "--steps", "1")
        assert done.returncode == 0, done.stderr
        weights = str(tmp_path / "out" / "weights.safetensors")
        sampler = load_module().load(weights)
        assert sampler.sample(draw_latents(1, 64), steps=2, guidance=3.0)["image"].shape[1] == 1
        with pytest.raises(ValueError, match="one class, leave it out"):
            sampler.sample(draw_latents(1, 64), np.array([0]))

    @pytest.mark.parametrize(
        ("more", "told"),
        [
            (["--conditions", "finding"], "no column 'finding'"),
            (["--size", "40"], "a multiple of 32"),
            (["--unet-widths", "8", "8", "6"], "positive multiples of 4"),
            (["--autoencoder-batch", "0"], "--autoencoder-batch: got 0, expected a positive whole"),
            (["--steps", "0"], "--steps: got 0, expected a positive whole number"),
            (["--rate", "nan"], "--rate: got nan, expected a number above 0"),
            (["--averaging", "1"], "--averaging: got 1.0, expected 0 or more and below 1"),
            (["--init", "no.safetensors"], "no weights of this network"),
        ],
    )
    def test_bad_input_is_said_at_once(
        self, data: Path, tmp_path: Path, more: list[str], told: str
    ) -> None:
        done = run(data, tmp_path / "out", *more)
        assert done.returncode == 2
        assert told in done.stderr
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "out").exists()

    def test_weights_of_another_u_net_are_refused_before_the_first_phase(
        self, data: Path, trained: Path, tmp_path: Path
    ) -> None:
        first = str(trained / "weights.safetensors")
        done = run(data, tmp_path / "out", "--init", first, "--unet-widths", "8", "8", "16")
        assert done.returncode == 2
        assert "no weights of this network" in done.stderr
        assert not (tmp_path / "out").exists()


class TestSampler:
    def test_latent_vector_alone_fixes_the_image(self, sampler: Any) -> None:
        latents, classes = draw_latents(5, 64), np.array([0, 1, 2, 3, 1])
        options = {"steps": 7, "guidance": 2.0, "noise_gain": 1.5}
        together = sampler.sample(latents, classes, **options)
        assert together["image"].shape == (5, 1, 32, 32)
        np.testing.assert_array_equal(together["label"], classes)
        torch.rand(3)
        for i in range(5):
            alone = sampler.sample(latents[i : i + 1], classes[i : i + 1], **options)
            np.testing.assert_allclose(alone["image"][0], together["image"][i], atol=1e-4)

    def test_noise_gain_is_that_of_the_weights_where_it_is_not_asked_for(
        self, trained: Path, tmp_path: Path
    ) -> None:
        path, latents = trained / "weights.safetensors", draw_latents(2, 64)
        told = read_facts(path)
        for gain in (None, 1.65):
            facts = {key: value for key, value in told.items() if key != "noise_gain"}
            if gain is not None:
                facts["noise_gain"] = gain
            changed = tmp_path / f"{gain}.safetensors"
            save_weights(changed, load_file(path), {"facts": json.dumps(facts)})
            sampler = load_module().load(str(changed))
            plain, asked, less = (
                sampler.sample(latents, steps=5, noise_gain=value)["image"]
                for value in (None, gain or 1, 0.5)
            )
            np.testing.assert_array_equal(plain, asked)
            assert np.abs(plain - less).max() > 1e-4

    def test_guidance_of_0_leaves_the_class_out(self, sampler: Any) -> None:
        latents, classes = draw_latents(2, 64), np.array([0, 3])
        free = sampler.sample(latents, steps=3)
        assert free.keys() == {"image"}
        left_out = sampler.sample(latents, classes, steps=3, guidance=0)
        np.testing.assert_allclose(left_out["image"], free["image"], atol=1e-5)

    def test_guidance_of_1_is_what_was_learnt(self, sampler: Any) -> None:
        latents, classes = draw_latents(2, 64), np.array([0, 3])
        plain, near = (
            sampler.sample(latents, classes, steps=3, guidance=g)["image"] for g in (1, 1 + 1e-9)
        )
        np.testing.assert_allclose(plain, near, atol=1e-5)

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            ({"latents": np.zeros((2, 63), np.float32)}, "expected \\(n, 64\\)"),
            ({"latents": np.zeros(64, np.float32)}, "expected \\(n, 64\\)"),
            ({"condition": np.array([0, 4])}, "got 4, expected 0 to 3"),
            ({"condition": np.array([-1, 0])}, "got -1, expected 0 to 3"),
            ({"condition": np.array([0])}, "expected \\(2,\\)"),
            ({"condition": np.array([0.0, 1.0])}, "whole numbers"),
            ({"steps": 0}, "1 to 1000"),
            ({"steps": 1001}, "1 to 1000"),
            ({"steps": 2.5}, "a whole number"),
            ({"steps": True}, "a whole number"),
            ({"guidance": -0.1}, "0 to 20"),
            ({"guidance": float("nan")}, "0 to 20"),
            ({"guidance": "much"}, "0 to 20"),
            ({"noise_gain": 0.4}, "0.5 to 4"),
            ({"noise_gain": float("nan")}, "0.5 to 4"),
            ({"noise_gain": True}, "0.5 to 4"),
        ],
    )
    def test_bad_values_are_named(self, sampler: Any, arguments: dict[str, Any], told: str) -> None:
        with pytest.raises(ValueError, match=told):
            sampler.sample(**{"latents": np.zeros((2, 64), np.float32)} | arguments)


class TestDiffusion:
    def test_schedule_goes_from_nearly_all_signal_to_nearly_none(self) -> None:
        signal = load_module("network.py").kept_signal()
        betas = 1 - signal[1:] / signal[:-1]
        assert signal[0] == pytest.approx(1 - 0.002)
        assert betas[-1] == pytest.approx(0.02)
        assert signal[-1] < 1e-4
        # Scaled linear: the roots of the betas are evenly spaced.
        assert betas.sqrt().diff().std() < 1e-9

    @pytest.mark.parametrize("noise_gain", [1.0, 2.0])
    @pytest.mark.parametrize("steps", [1, 10, 25, 50, 150, 1000])
    def test_ddim_finds_a_point_whatever_the_steps(self, steps: int, noise_gain: float) -> None:
        network = load_module("network.py")
        point = torch.linspace(-2, 2, 16, dtype=torch.float64).reshape(1, 1, 4, 4)
        signal, times = network.kept_signal(), []

        def predict(latents: torch.Tensor, time: int) -> torch.Tensor:
            times.append(time)
            now = signal[time]
            noise = (latents - now.sqrt() * point) / (1 - now).sqrt()
            return now.sqrt() * noise - (1 - now).sqrt() * point

        noise = torch.randn(point.shape, generator=torch.Generator().manual_seed(0)).double()
        found = network.ddim(predict, noise, steps=steps, noise_gain=noise_gain)
        torch.testing.assert_close(found, point)
        assert times[0] == 999
        assert len(times) == steps
        assert sorted(set(times), reverse=True) == times

    def test_ddim_follows_the_flow_of_a_gaussian(self) -> None:
        """Of data with deviation s, noise z ends at s z, up to the width of the strides."""
        noise = torch.linspace(-2, 2, 9, dtype=torch.float64)
        errors = [(self._gaussian(noise, steps) - 0.5 * noise).abs().max() for steps in (10, 50)]
        assert errors[0] > errors[1] > (self._gaussian(noise, 1000) - 0.5 * noise).abs().max()
        assert errors[1] < 0.05

    def test_noise_gain_spreads_samples_alike_at_any_number_of_steps(self) -> None:
        noise = torch.linspace(-2, 2, 9, dtype=torch.float64)
        gains = (0.8, 1.0, 1.2, 1.5, 2.0)
        few, many = (
            [float(self._gaussian(noise, steps, gain)[-1]) for gain in gains]
            for steps in (50, 1000)
        )
        assert many[1] == pytest.approx(0.5 * 2, abs=0.01)
        assert few == sorted(set(few))
        assert few == pytest.approx(many, rel=0.2)

    def _gaussian(self, noise: torch.Tensor, steps: int, noise_gain: float = 1.0) -> torch.Tensor:
        """Return where noise goes under a network that knows data of deviation 0.5 perfectly."""
        network = load_module("network.py")
        signal, deviation = network.kept_signal(), 0.5

        def predict(latents: torch.Tensor, time: int) -> torch.Tensor:
            now = signal[time]
            noise = (1 - now).sqrt() * latents / (now * deviation**2 + 1 - now)
            clean = now.sqrt() * deviation**2 * latents / (now * deviation**2 + 1 - now)
            return now.sqrt() * noise - (1 - now).sqrt() * clean

        found: torch.Tensor = network.ddim(predict, noise, steps=steps, noise_gain=noise_gain)
        return found


class TestData:
    @pytest.fixture
    def download(self, tmp_path: Path) -> Path:
        """Return a folder as of the download: a grey file, one of four channels, an archive."""
        folder = tmp_path / "download"
        (folder / "images").mkdir(parents=True)
        pixels = np.random.default_rng(0).integers(0, 256, (256, 256), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / "00000001_000.png")
        rgba = np.dstack([pixels, pixels, pixels, np.full_like(pixels, 9)])
        Image.fromarray(rgba).save(folder / "00000002_001.png")
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, format="png")
        with tarfile.open(folder / "images_001.tar.gz", "w:gz") as archive:
            member = tarfile.TarInfo("images/00000003_000.png")
            member.size = len(stream.getvalue())
            archive.addfile(member, io.BytesIO(stream.getvalue()))
        return folder

    @pytest.fixture
    def rows(self) -> dict[str, dict[str, str]]:
        names = ("00000003_000.png", "00000001_000.png", "00000002_001.png")
        sides = ("train", "val", "test")
        return {
            name: {
                "file": name,
                "label": "no_finding",
                "view": "PA",
                "split": side,
                "patient_id": name[:8],
            }
            for name, side in zip(names, sides, strict=True)
        }

    def test_folder_is_made_of_files_and_archives(
        self, download: Path, rows: dict[str, dict[str, str]], tmp_path: Path
    ) -> None:
        prepare_data, out = load_module("prepare_data.py"), tmp_path / "out"
        prepare_data.prepare(download, out, rows)
        grey = [np.asarray(Image.open(out / "images" / name)) for name in rows]
        assert all(image.shape == (128, 128) for image in grey)
        # The same picture in three forms.
        assert np.array_equal(grey[0], grey[1])
        assert np.array_equal(grey[0], grey[2])
        assert (out / "split_val.txt").read_text() == "00000001_000.png\n"
        table = read_table(out / "labels.csv")
        assert [row["patient_id"] for row in table] == ["00000003", "00000001", "00000002"]

    def test_nothing_is_written_where_images_are_missing_or_broken(
        self, download: Path, rows: dict[str, dict[str, str]], tmp_path: Path
    ) -> None:
        prepare_data, out = load_module("prepare_data.py"), tmp_path / "out"
        more = rows | {"00000004_000.png": rows["00000001_000.png"]}
        with pytest.raises(TrainingError, match=r"1 of 4 images are not there, such as 00000004"):
            prepare_data.prepare(download, out, more)
        (download / "00000002_001.png").write_bytes(b"no image")
        with pytest.raises(TrainingError, match=r"00000002_001\.png: it cannot be read"):
            prepare_data.prepare(download, out, rows)
        assert not out.exists()
        out.mkdir()
        (out / "own.txt").touch()
        with pytest.raises(OutputError):
            prepare_data.prepare(download, out, rows)

    def test_list_has_the_images_of_a_patient_on_one_side(self) -> None:
        rows = load_module("prepare_data.py").read_subset()
        sides: dict[str, set[str]] = {}
        for row in rows.values():
            sides.setdefault(row["patient_id"], set()).add(row["split"])
        assert all(len(found) == 1 for found in sides.values())
        counts = [
            sum(row["split"] == side for row in rows.values()) for side in ("train", "val", "test")
        ]
        assert counts == [679, 121, 200]
        assert sum(row["label"] == "pneumonia" for row in rows.values()) == 500


class TestShippedWeights:
    def test_options_reach_the_model(self) -> None:
        choices: list[dict[str, Any]] = [{}, {"steps": 6}, {"guidance": 3.0}, {"noise_gain": 1.0}]
        with Generators() as generators:
            drawn = [
                generators.generate(
                    10003,
                    num_samples=2,
                    seed=1,
                    save_images=False,
                    condition=1,
                    **{"steps": 5} | options,
                )
                for options in choices
            ]
        first, *others = [np.stack([image for image, *_ in images]) for images in drawn]
        assert first.shape[:3] == (2, 128, 128)
        assert all((first != other).any() for other in others)

    def test_image_does_not_depend_on_its_batch(self) -> None:
        sampler = load_module().load()
        latents, classes = draw_latents(3, 1024), np.array([0, 1, 2])
        together = sampler.sample(latents, classes, steps=10)["image"]
        for i in range(3):
            alone = sampler.sample(latents[i : i + 1], classes[i : i + 1], steps=10)["image"]
            np.testing.assert_allclose(alone[0], together[i], atol=1 / 255)

    def test_views_differ(self) -> None:
        sampler = load_module().load()
        latents = draw_latents(2, 1024)
        views = [
            sampler.sample(latents, np.full(2, number), steps=10)["image"] for number in (0, 1)
        ]
        assert np.abs(views[0] - views[1]).mean() > 0.01
