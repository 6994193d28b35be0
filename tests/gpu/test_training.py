"""A training on the card: it runs there, goes on there, and its weights work on the CPU."""

import csv
import subprocess
import sys

import pytest
import torch

from medmint import Generators
from medmint.model_contributor import copy_template
from medmint.model_trainer import Average, Schedule, augment, random_numbers, train
from tests.packages.trainings import SCHEDULE, SETTINGS, Tiny, training_folder

pytestmark = pytest.mark.gpu


def run_script(package, *arguments):
    command = [sys.executable, "-B", package / "train.py", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_reference_model_trains_on_the_card_and_goes_on(tmp_path):
    package, out = tmp_path / "mine", tmp_path / "run"
    model_id = copy_template("fastgan_polyp", package, taken=[])
    data = training_folder(tmp_path / "data", count=120, side=64)
    common = ["--data", data, "--out", out, "--size", 64, "--batch", 8, "--validate-every", 5]
    common += ["--autoencoder-steps", 5, "--pixels-first", 2]
    run_script(package, *common, "--steps", 5, "--device", "cuda")
    run_script(package, *common, "--steps", 10, "--device", "auto")
    with (out / "gan" / "log.csv").open(newline="") as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["5", "10"]
    with Generators() as generators:
        samples = generators.generate(
            model_id,
            2,
            package=package,
            weights=out / "weights.safetensors",
            save_images=False,
            device="cpu",
            seed=1,
        )
    assert [image.shape for image, _ in samples] == [(64, 64, 3)] * 2


def test_a_checkpoint_of_the_card_is_taken_on_by_the_cpu(tmp_path):
    class OnCard(Tiny):
        def __init__(self):
            super().__init__()
            self.network.cuda()
            self.average = Average(self.network, 0.9)
            self.optimiser = torch.optim.Adam(self.network.parameters(), 1e-2)
            self.parts |= {"average": self.average, "optimiser": self.optimiser}

        def advance(self, step):
            given = torch.randn(16, 4, generator=random_numbers(3, step)).cuda()
            loss = (self.network(given)[:, 0] - given.sum(dim=1)).square().mean()
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            self.average.update(self.network, step)
            return {"loss": loss.item()}

        def validate(self, step, folder):
            return {"val_error": 1 / step}

    first = Schedule(steps=20, validate_every=10, checkpoint_every=10)
    train(OnCard(), tmp_path, first, settings=SETTINGS)
    taken = Tiny()
    train(taken, tmp_path, SCHEDULE, settings=SETTINGS)
    assert taken.steps[0] == 20
    train(OnCard(), tmp_path / "again", first, settings=SETTINGS)
    train(OnCard(), tmp_path / "again", SCHEDULE, settings=SETTINGS)


def test_dropout_on_the_card_draws_the_same_after_a_cut(tmp_path):
    drawn: dict[int, float] = {}

    class Noting(Tiny):
        def advance(self, step):
            value = float(torch.nn.functional.dropout(torch.ones(50, device="cuda")).sum())
            assert drawn.setdefault(step, value) == value
            return super().advance(step)

    first, last = (Schedule(steps=n, validate_every=5, checkpoint_every=5) for n in (7, 12))
    train(Noting(), tmp_path / "cut", first, settings=SETTINGS)
    train(Noting(), tmp_path / "cut", last, settings=SETTINGS)
    train(Noting(), tmp_path / "whole", last, settings=SETTINGS)


def test_augmentation_is_that_of_the_cpu():
    images = torch.rand(4, 4, 32, 32, generator=random_numbers(0, 0))
    cpu = augment(images, random_numbers(0, 1), colours=3)
    card = augment(images.cuda(), random_numbers(0, 1), colours=3)
    assert card.is_cuda
    torch.testing.assert_close(card.cpu(), cpu)
