"""The conditional GAN of chest radiographs: its losses, its training, its sampler, its weights."""

from __future__ import annotations

import contextlib
import csv
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from medmint.errors import ArgumentError, TrainingError
from medmint.resources import template_folder

PACKAGE = template_folder("cgan_chest_xray")
TINY = ("--size", "16", "--width", "0.04", "--batch", "4", "--threads", "1", "--no-card")
CONDITIONED = ("--conditions", "label", "view")


def load_package() -> Any:
    """Import the package as a worker does."""
    name = "reference_cgan_chest_xray"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            name, PACKAGE / "__init__.py", submodule_search_locations=[str(PACKAGE)]
        )
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@contextlib.contextmanager
def scripts() -> Iterator[Any]:
    """Import train.py as its folder does, and leave nothing of it behind."""
    threads = torch.get_num_threads()
    sys.path.insert(0, str(PACKAGE))
    try:
        yield importlib.import_module("train")
    finally:
        sys.path.remove(str(PACKAGE))
        for name in (
            "train",
            "training",
            "earlier",
            "losses",
            "network",
            "autoencoder",
            "evaluate",
        ):
            sys.modules.pop(name, None)
        torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def training() -> Iterator[Any]:
    with scripts() as module:
        yield module


@pytest.fixture(scope="module")
def losses(training: Any) -> Any:
    return sys.modules["losses"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a training folder of made-up images: bright above or below by class."""
    data = tmp_path_factory.mktemp("cgan")
    random = np.random.default_rng(0)
    rows = []
    for part in ("images", "masks"):
        (data / part).mkdir()
    for number in range(80):
        name, label = f"{number:02}.png", number % 2
        pixels = random.integers(0, 80, (64, 64))
        pixels[32 * label : 32 * label + 32] += 150
        Image.fromarray(pixels.astype(np.uint8)).save(data / "images" / name)
        Image.fromarray((pixels > 149).astype(np.uint8) * 255).save(data / "masks" / name)
        view = ("AP", "PA", "")[number % 3]
        rows.append({"file": name, "label": ("above", "below")[label], "view": view})
    with (data / "labels.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, ["file", "label", "view"])
        table.writeheader()
        table.writerows(rows)
    return data


def run(training: Any, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", *TINY, *map(str, arguments)])
    training.main()


def logged(out: Path) -> list[dict[str, float]]:
    with (out / "log.csv").open(newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def trained(training: Any, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a short training with classes."""
    out = tmp_path_factory.mktemp("cgan_out") / "run"
    with pytest.MonkeyPatch.context() as patch:
        arguments = ("--data", folder, "--out", out, "--steps", 12, *CONDITIONED)
        run(training, patch, *arguments, "--validate-every", 6)
    return out


@pytest.fixture(scope="module")
def autoencoder(training: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an untrained autoencoder, named as in weights of the diffusion model."""
    torch.manual_seed(0)
    state = sys.modules["autoencoder"].Autoencoder(3).state_dict()
    path = tmp_path_factory.mktemp("cgan_autoencoder") / "weights.safetensors"
    save_file({f"autoencoder.{name}": tensor for name, tensor in state.items()}, path)
    return path


REAL, FAKE = np.array([2.0, 0.5, -1.0]), np.array([-2.0, 0.5, 3.0])


def softplus(x: np.ndarray) -> np.ndarray:
    return np.log1p(np.exp(x))


EXPECTED = {
    "dcgan": (softplus(-REAL).mean() + softplus(FAKE).mean(), softplus(-FAKE).mean()),
    "lsgan": (((REAL - 1) ** 2).mean() / 2 + (FAKE**2).mean() / 2, ((FAKE - 1) ** 2).mean() / 2),
    "wgan": (FAKE.mean() - REAL.mean(), -FAKE.mean()),
    "wgan-gp": (FAKE.mean() - REAL.mean(), -FAKE.mean()),
    "hinge": (
        np.maximum(1 - REAL, 0).mean() + np.maximum(1 + FAKE, 0).mean(),
        -FAKE.mean(),
    ),
}


class TestLosses:
    def test_all_of_the_study_are_there(self, losses: Any) -> None:
        assert losses.LOSSES.keys() == EXPECTED.keys()

    @pytest.mark.parametrize("name", EXPECTED)
    def test_formula(self, losses: Any, name: str) -> None:
        loss, (critic, generator) = losses.LOSSES[name], EXPECTED[name]
        real, fake = torch.from_numpy(REAL), torch.from_numpy(FAKE)
        assert float(loss.discriminator(real, fake)) == pytest.approx(critic, rel=1e-12)
        assert float(loss.generator(fake)) == pytest.approx(generator, rel=1e-12)

    def test_smoothing_asks_less_of_real_images_alone(self, losses: Any) -> None:
        real, fake = torch.from_numpy(REAL), torch.from_numpy(FAKE)
        dcgan = 0.9 * softplus(-REAL) + 0.1 * softplus(REAL)
        assert float(losses.dcgan_discriminator(real, fake, 0.1)) == pytest.approx(
            dcgan.mean() + softplus(FAKE).mean(), rel=1e-12
        )
        lsgan = (((REAL - 0.9) ** 2).mean() + (FAKE**2).mean()) / 2
        assert float(losses.lsgan_discriminator(real, fake, 0.1)) == pytest.approx(lsgan, rel=1e-12)

    def test_penalties_of_a_critic_whose_slope_is_known(self, losses: Any) -> None:
        slope = torch.randn(1, 4, 4, generator=torch.Generator().manual_seed(0))
        norm = float(slope.norm())

        def critic(images: torch.Tensor) -> torch.Tensor:
            return (images * slope).sum(dim=(1, 2, 3))

        random = torch.Generator().manual_seed(1)
        real, fake = torch.randn(2, 3, 1, 4, 4, generator=random).unbind()
        penalty = losses.gradient_penalty(critic, real, fake, random)
        assert float(penalty) == pytest.approx((norm - 1) ** 2, rel=1e-5)
        assert float(losses.real_penalty(critic, real)) == pytest.approx(norm**2 / 2, rel=1e-5)

    def test_gradient_penalty_is_taken_between_the_images(self, losses: Any) -> None:
        def critic(images: torch.Tensor) -> torch.Tensor:
            return images.square().sum(dim=(1, 2, 3)) / 2

        # The slope at x is x; between 1 and 3 (one pixel) its norm - 1 is from 0 to 2.
        real, fake = torch.ones(64, 1, 1, 1), torch.full((64, 1, 1, 1), 3.0)
        random = torch.Generator().manual_seed(0)
        penalty = float(losses.gradient_penalty(critic, real, fake, random).detach())
        assert penalty == pytest.approx(4 / 3, rel=0.2)

    def test_mode_seeking_is_less_for_images_that_differ_more(self, losses: Any) -> None:
        random = torch.Generator().manual_seed(0)
        latents, images = (torch.randn(8, *size, generator=random) for size in ((5,), (1, 4, 4)))
        found = [float(losses.mode_seeking_loss(factor * images, latents)) for factor in (0, 1, 2)]
        assert found[0] > found[1] > found[2] > 0
        assert found[1] == pytest.approx(2 * found[2], rel=0.01)

    def test_weights_are_clipped(self, losses: Any) -> None:
        layer = torch.nn.Linear(5, 5)
        with torch.no_grad():
            layer.weight.fill_(-3.0)
        losses.clip_weights(layer, 0.25)
        assert float(layer.weight.detach().min()) == -0.25
        assert float(layer.bias.detach().abs().max()) <= 0.25

    def test_feature_matching_compares_means(self, losses: Any) -> None:
        real, fake = torch.tensor([[0.0, 2.0], [2.0, 2.0]]), torch.tensor([[4.0, 1.0], [4.0, 1.0]])
        assert float(losses.feature_distance(real, fake)) == pytest.approx((9 + 1) / 2)


class TestTraining:
    @pytest.mark.parametrize("loss", EXPECTED)
    def test_every_loss_runs(
        self,
        training: Any,
        folder: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        loss: str,
    ) -> None:
        out = tmp_path / "run"
        run(training, monkeypatch, "--data", folder, "--out", out, "--steps", 3, "--loss", loss)
        (row,) = logged(out)
        assert row["step"] == 3
        assert np.isfinite(list(row.values())).all()
        assert row["val_distance"] > 0

    def test_every_switch_runs_at_once(
        self, training: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        out = tmp_path / "run"
        switches = ("--label-smoothing", 0.1, "--feature-matching", 1, "--spectral", "--no-augment")
        run(
            training,
            monkeypatch,
            *("--data", folder, "--out", out, "--steps", 3, "--masks"),
            *("--precision", "float32", "--real-penalty", 0, *switches, *CONDITIONED),
        )
        assert np.isfinite(list(logged(out)[0].values())).all()
        sample = load_package().load(str(out / "weights.safetensors")).sample(latents(2), [0, 3])
        assert sample["image"].shape == sample["mask"].shape == (2, 1, 16, 16)
        assert set(np.unique(sample["mask"])) <= {0, 255}

    def test_clipping_holds_after_a_step(
        self, training: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        out = tmp_path / "run"
        run(training, monkeypatch, "--data", folder, "--out", out, "--steps", 2, "--loss", "wgan")
        state = torch.load(out / "checkpoint.pt", weights_only=True)["parts"]["discriminator"]
        assert max(float(weight.abs().max()) for weight in state.values()) <= 0.01

    @pytest.mark.slow
    def test_ends_in_a_card_of_what_was_trained(
        self, training: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        out = tmp_path / "run"
        arguments = ["train.py", *TINY[:-1], "--data", folder, "--out", out, "--steps", 3]
        monkeypatch.setattr(sys, "argv", [*map(str, arguments), "--conditions", "label"])
        training.main()
        card = (out / "MODEL_CARD.md").read_text(encoding="utf-8")
        assert "trained on other images" in card
        assert "NIH" not in card.split("## Training data")[1].split("## Split")[0]

    def test_classes_are_learnt(
        self, training: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        out = tmp_path / "run"
        arguments = ("--data", folder, "--out", out, "--steps", 200, "--conditions", "label")
        run(training, monkeypatch, *arguments, "--validate-every", 200, "--width", 0.1)
        sampler = load_package().load(str(out / "weights.safetensors"))
        halves = [
            sampler.sample(latents(16), np.full(16, k))["image"].reshape(16, 2, 128).mean(axis=2)
            for k in (0, 1)
        ]
        right = [(halves[0][:, 0] > halves[0][:, 1]), (halves[1][:, 0] < halves[1][:, 1])]
        assert np.mean(right) >= 0.9

    def test_killed_and_resumed_ends_in_the_same_weights(
        self, training: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        plan = ("--steps", 40, "--validate-every", 20, "--checkpoint-every", 5, *CONDITIONED)
        whole, cut = tmp_path / "whole", tmp_path / "cut"
        run(training, monkeypatch, "--data", folder, "--out", whole, *plan)
        arguments = [*TINY, "--data", folder, "--out", cut, *plan]
        process = subprocess.Popen(
            [sys.executable, PACKAGE / "train.py", *map(str, arguments)],
            stderr=subprocess.DEVNULL,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        while not (cut / "log.csv").exists() and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        state = torch.load(cut / "checkpoint.pt", weights_only=True)
        assert 0 < state["step"] < 40
        run(training, monkeypatch, "--data", folder, "--out", cut, *plan)
        assert (whole / "log.csv").read_bytes() == (cut / "log.csv").read_bytes()
        for read in (_best, _last):
            first, second = read(whole), read(cut)
            assert first.keys() == second.keys()
            assert all(torch.equal(first[name], second[name]) for name in first)


def _best(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "weights.safetensors")


def _last(out: Path) -> dict[str, torch.Tensor]:
    state = torch.load(out / "checkpoint.pt", weights_only=True)
    return {
        f"{part}.{name}": tensor
        for part in ("generator", "discriminator", "average")
        for name, tensor in state["parts"][part].items()
    }


#: Parts of a checkpoint that another training starts from.
PARTS = ("seen", "generator", "average", "discriminator")


class TestStartingFromWeights:
    @pytest.mark.parametrize("file", ["weights.safetensors", "checkpoint.pt"])
    def test_begins_where_the_other_ended(
        self,
        training: Any,
        folder: Path,
        trained: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        file: str,
    ) -> None:
        out = tmp_path / "run"
        arguments = ("--data", folder, "--out", out, "--steps", 1, "--rate", 1e-9, *CONDITIONED)
        run(training, monkeypatch, *arguments, "--init", trained / file)
        now = torch.load(out / "checkpoint.pt", weights_only=True)["parts"]
        then = torch.load(trained / "checkpoint.pt", weights_only=True)["parts"]
        if file == "weights.safetensors":
            best = load_file(trained / file)
            then["generator"] = {key.removeprefix("generator."): best[key] for key in best}

        def alike(part: str, key: str) -> bool:
            # Weights lie in half precision in the one file.
            return bool(torch.allclose(now[part][key].float(), then[part][key].float(), atol=1e-6))

        # Statistics of batches are those of the new images.
        learnt = [key for key in then["generator"] if "running_" not in key and "num_" not in key]
        assert all(alike("generator", key) for key in learnt)
        same = all(alike("discriminator", key) for key in then["discriminator"])
        assert same == (file == "checkpoint.pt")

    def test_images_without_classes_will_do(
        self,
        training: Any,
        folder: Path,
        trained: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        own, out = tmp_path / "own", tmp_path / "run"
        own.mkdir()
        (own / "images").symlink_to(folder / "images")
        arguments = ("--data", own, "--out", out, "--steps", 1)
        run(training, monkeypatch, *arguments, "--init", trained / "weights.safetensors")
        assert load_package().load(str(out / "weights.safetensors")).counts == ()

    @pytest.mark.parametrize("width", ["0.04", "0.2"])
    def test_refuses_other_weights(
        self,
        training: Any,
        folder: Path,
        trained: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        width: str,
    ) -> None:
        path = trained / ("log.csv" if width == "0.04" else "weights.safetensors")
        arguments = ("--data", folder, "--out", tmp_path / "run", "--width", width)
        with pytest.raises(TrainingError, match=path.name):
            run(training, monkeypatch, *arguments, "--init", path)
        assert not (tmp_path / "run").exists()

    def test_an_empty_file_is_refused(self, training: Any, tmp_path: Path) -> None:
        path = tmp_path / "checkpoint.pt"
        path.touch()
        self.refused(path)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("settings", None),
            ("settings", "text"),
            ("settings", {}),
            ("settings", {"conditions": "{}", "channels": "1"}),
            ("settings", {"conditions": "{}", "channels": 1, "latents": "0"}),
            ("settings", {"conditions": "{}", "channels": "many", "latents": "1"}),
            ("settings", {"conditions": "{}", "channels": "-1", "latents": "1"}),
            ("parts", None),
            ("parts", {}),
            ("parts", dict.fromkeys(PARTS)),
            ("parts", dict.fromkeys(PARTS, "text")),
            ("parts", {key: {"weight": 1.0} for key in PARTS}),
            ("parts", {key: {1: torch.zeros(1)} for key in PARTS}),
        ],
    )
    def test_a_checkpoint_of_something_else_is_refused(
        self, training: Any, trained: Path, tmp_path: Path, name: str, value: Any
    ) -> None:
        state = torch.load(trained / "checkpoint.pt", weights_only=True)
        torch.save(state | {name: value}, tmp_path / "checkpoint.pt")
        self.refused(tmp_path / "checkpoint.pt")

    @pytest.mark.parametrize("channels", ["many", "", "0", "-1", "1.5"])
    def test_weights_whose_facts_make_no_sense_are_refused(
        self, training: Any, tmp_path: Path, channels: str
    ) -> None:
        facts = {"conditions": "{}", "channels": channels, "latents": "1"}
        save_file({"generator.a": torch.zeros(1)}, tmp_path / "a.safetensors", metadata=facts)
        self.refused(tmp_path / "a.safetensors")

    def refused(self, path: Path) -> None:
        with pytest.raises(TrainingError, match="these are no weights") as caught:
            sys.modules["earlier"].read_earlier(path)
        assert caught.value.path == path


SMALL_LATENTS = ("--size", 64)


@pytest.fixture(scope="module")
def drawn(
    training: Any, folder: Path, autoencoder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return the folder of a short training in latents."""
    out = tmp_path_factory.mktemp("cgan_latents") / "run"
    with pytest.MonkeyPatch.context() as patch:
        arguments = ("--data", folder, "--out", out, "--autoencoder", autoencoder)
        run(training, patch, *arguments, *SMALL_LATENTS, "--steps", 2, *CONDITIONED)
    return out


@pytest.fixture
def given(autoencoder: Path, drawn: Path) -> dict[str, Path]:
    """Return what latents can come from, by option."""
    return {"--autoencoder": autoencoder, "--init": drawn / "weights.safetensors"}


class TestLatents:
    def test_are_of_mean_zero_and_deviation_one(self, training: Any, autoencoder: Path) -> None:
        seen = sys.modules["autoencoder"].read_autoencoder(autoencoder)
        random = torch.Generator().manual_seed(0)
        images = torch.rand(40, 1, 64, 64, generator=random) * 2 - 1
        seen.fit(images)
        latents = seen.encode(images)
        assert latents.shape == (40, 3, 8, 8)
        assert latents.mean(dim=(0, 2, 3)).abs().max() < 1e-4
        assert (latents.std(dim=(0, 2, 3)) - 1).abs().max() < 1e-4
        assert seen.decode(latents).shape == images.shape

    def test_become_images(self, drawn: Path) -> None:
        sampler = load_package().load(str(drawn / "weights.safetensors"))
        image = sampler.sample(latents(2), np.array([0, 3]))["image"]
        assert image.shape == (2, 1, 64, 64)
        assert 0 <= image.min() < image.max() <= 1

    @pytest.mark.parametrize("file", ["weights.safetensors", "checkpoint.pt"])
    def test_bring_their_autoencoder_with_them(
        self,
        training: Any,
        folder: Path,
        drawn: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        file: str,
    ) -> None:
        arguments = ("--data", folder, "--out", tmp_path / "run", "--init", drawn / file)
        run(training, monkeypatch, *arguments, *SMALL_LATENTS, "--steps", 1, *CONDITIONED)
        first, second = (
            load_file(out / "weights.safetensors") for out in (drawn, tmp_path / "run")
        )
        names = [name for name in first if name.startswith("seen.")]
        assert "seen.deviation" in names
        assert all(torch.allclose(first[name], second[name], rtol=2e-3) for name in names)

    @pytest.mark.parametrize(
        "wrong",
        [
            ("--autoencoder", "--masks", *SMALL_LATENTS),
            ("--autoencoder", "--size", 32),
            ("--init", "--masks", *SMALL_LATENTS),
            ("--init", "--size", 32),
        ],
    )
    def test_have_no_masks_and_a_least_size(
        self,
        training: Any,
        folder: Path,
        given: dict[str, Path],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        wrong: tuple[object, ...],
    ) -> None:
        source, told, *_ = map(str, wrong)
        arguments = ("--data", folder, "--out", tmp_path / "run", source, given[source])
        with pytest.raises(ArgumentError, match=told):
            run(training, monkeypatch, *arguments, *wrong[1:])
        assert not (tmp_path / "run").exists()

    def test_of_an_earlier_training_are_not_mixed_with_another_autoencoder(
        self,
        training: Any,
        folder: Path,
        given: dict[str, Path],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        arguments = ("--data", folder, "--out", tmp_path / "run", *SMALL_LATENTS)
        sources = [word for pair in given.items() for word in pair]
        with pytest.raises(ArgumentError, match="--init"):
            run(training, monkeypatch, *arguments, *sources)

    def test_are_of_one_autoencoder_to_the_end(
        self,
        training: Any,
        folder: Path,
        autoencoder: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        other = tmp_path / "other.safetensors"
        tensors = {name: value + 1 for name, value in load_file(autoencoder).items()}
        save_file(tensors, other)
        arguments = ("--data", folder, "--out", tmp_path / "run", *SMALL_LATENTS)
        run(training, monkeypatch, *arguments, "--steps", 1, "--autoencoder", autoencoder)
        with pytest.raises(TrainingError, match=r"other settings \(autoencoder"):
            run(training, monkeypatch, *arguments, "--steps", 2, "--autoencoder", other)

    @pytest.mark.parametrize("wrong", ["log.csv", "weights.safetensors"])
    def test_need_an_autoencoder_of_images(
        self,
        training: Any,
        folder: Path,
        trained: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        wrong: str,
    ) -> None:
        arguments = ("--data", folder, "--out", tmp_path / "run", *SMALL_LATENTS)
        with pytest.raises(TrainingError, match="autoencoder"):
            run(training, monkeypatch, *arguments, "--autoencoder", trained / wrong)


class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (("--loss", "hinge", "--label-smoothing", "0.1"), "--label-smoothing"),
            (("--feature-matching", "-1"), "--feature-matching"),
            (("--width", "0"), "--width"),
            (("--rate", "nan"), "--rate"),
            (("--mode-seeking", "-1"), "--mode-seeking"),
            (("--batch", "3"), "--batch"),
        ],
    )
    def test_is_refused_by_name(
        self,
        training: Any,
        folder: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        arguments: tuple[str, ...],
        told: str,
    ) -> None:
        with pytest.raises(ArgumentError, match=told):
            run(training, monkeypatch, "--data", folder, "--out", tmp_path / "run", *arguments)
        assert not (tmp_path / "run").exists()

    def test_masks_that_are_not_there(
        self, training: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own = tmp_path / "own"
        own.mkdir()
        (own / "images").symlink_to(folder / "images")
        with pytest.raises(TrainingError, match="masks"):
            run(training, monkeypatch, "--data", own, "--out", tmp_path / "run", "--masks")


def latents(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 128)).astype(np.float32)


@pytest.fixture(scope="module")
def sampler(trained: Path) -> Any:
    return load_package().load(str(trained / "weights.safetensors"), "cpu")


class TestSampler:
    def test_a_sample_does_not_depend_on_its_batch(self, sampler: Any) -> None:
        rows, classes = latents(5), np.array([0, 3, 1, 2, 2])
        whole = sampler.sample(rows, classes)["image"]
        for i in range(5):
            alone = sampler.sample(rows[i : i + 1], classes[i : i + 1])["image"]
            assert np.array_equal(alone[0], whole[i])

    def test_each_class_and_each_latent_vector_has_an_image_of_its_own(self, sampler: Any) -> None:
        same = np.repeat(latents(1), 4, axis=0)
        by_class = sampler.sample(same, np.arange(4))["image"].reshape(4, -1)
        assert len(np.unique(by_class, axis=0)) == 4
        by_latent = sampler.sample(latents(4), np.zeros(4, int))["image"].reshape(4, -1)
        assert len(np.unique(by_latent, axis=0)) == 4

    def test_classes_may_be_left_open(self, sampler: Any) -> None:
        image = sampler.sample(latents(2))["image"]
        assert image.shape == (2, 1, 16, 16)
        assert image.dtype == np.float32
        assert 0 <= image.min() < image.max() <= 1

    @pytest.mark.parametrize("condition", [[4], [-1], [0, 1], [0.5], "label"])
    def test_refuses_classes_that_are_none(self, sampler: Any, condition: Any) -> None:
        with pytest.raises(ValueError, match="condition"):
            sampler.sample(latents(1), condition)

    def test_refuses_latents_of_another_shape(self, sampler: Any) -> None:
        with pytest.raises(ValueError, match="latents"):
            sampler.sample(np.zeros((2, 64), np.float32))


@pytest.fixture(scope="module")
def shipped() -> Any:
    return load_package().load()


class TestShippedWeights:
    def test_are_small_and_of_half_precision(self) -> None:
        path = PACKAGE / "weights.safetensors"
        assert path.stat().st_size <= 10_000_000
        with safe_open(path, framework="pt") as file:
            types = {file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118
        # Batch normalisation counts its batches.
        assert types == {torch.float16, torch.int64}

    def test_classes_are_those_of_the_record(self, shipped: Any) -> None:
        (record,) = json.loads((PACKAGE / "metadata.json").read_text()).values()
        with safe_open(PACKAGE / "weights.safetensors", framework="pt") as file:
            values = json.loads(file.metadata()["conditions"])
        pairs = [f"{label}_{view}" for label in values["label"] for view in values["view"]]
        assert record["execution"]["conditions"] == pairs
        assert shipped.counts == (2, 2)

    def test_images_have_no_regular_grid(self, shipped: Any) -> None:
        """At the frequencies of upsampling, power is as at those beside them, or cannot be seen."""
        images = shipped.sample(latents(32), np.arange(32) % 4)["image"][:, 0]
        power = (np.abs(np.fft.fft2(images)) ** 2).mean(axis=0)
        for row, column in ((0, 32), (32, 0), (32, 32), (0, 64), (64, 0), (64, 64), (16, 16)):
            # Opposite borders differ, which shows along both axes: also in real images.
            around = [
                power[(row + i) % 128, (column + j) % 128]
                for i in ((-3, -2, 2, 3) if row else (0,))
                for j in ((-3, -2, 2, 3) if column else (0,))
            ]
            grey_levels = 255 * np.sqrt(power[row, column]) / power.size
            assert power[row, column] < 4 * np.median(around) or grey_levels < 0.1
