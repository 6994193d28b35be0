"""Train the volume model: ``python train.py --data FOLDER --out FOLDER``.

FOLDER holds ``volumes.npz`` (images uint8, labels of 0, 1 and 2, ids), ``split_train.txt`` and
``split_val.txt`` (an id a line), as ``prepare_data.py`` writes them. Two parts are trained, one
after the other: the autoencoder in ``OUT/autoencoder``, the denoiser of its latent maps in
``OUT/denoiser``. Both write checkpoints, a log and pictures while they run; the same command
again goes on where the last one stopped. The model ends up in ``OUT/weights.safetensors``.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from evaluate import SUBJECT
from network import Autoencoder, Decoded, VolumeModel, noise_levels
from numpy.typing import NDArray
from pictures import sheet
from segmentation import dice, soft_dice
from torch import Tensor, nn
from torch.nn import functional
from volumes import NARROWLY, WIDELY, Batch, Volumes, planes, read_volumes, take

from medmint.errors import ArgumentError
from medmint.metrics import frechet_distance
from medmint.metrics.features import SeededConvolution, standardise
from medmint.model_trainer import (
    Average,
    Phase,
    autocast,
    hash_arrays,
    prepare_device,
    random_numbers,
    run_script,
    schedule,
    start_from,
    train_in_turn,
    training_parser,
)
from medmint.model_trainer.judging import describe_training
from medmint.model_trainer.run import WEIGHTS
from medmint.packages.package import hash_file
from medmint.sheets import write_picture

RATE = 4e-4
BETAS = (0.5, 0.99)
DENOISER_RATE = 1e-3
AVERAGING = 0.995
#: Weights of the losses beside the absolute difference of the images.
WEIGHTS_OF_LOSSES = {"spread": 0.1, "label": 0.5, "box": 0.1, "information": 2e-3}
#: Changed copies of each training volume that the denoiser learns from.
COPIES = 8
#: Volumes drawn at each validation of the denoiser for each one of val, and the steps of drawing.
DRAWN, STEPS_OF_DRAWING = 2, 25
#: Strengths of the texture to choose from on val.
STRENGTHS = (0.7, 0.85, 1.0)
#: Planes of each axis, as shares of its length, that distances are measured on.
PLANES = (0.35, 0.45, 0.5, 0.55, 0.65)


def slice_features(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return seeded convolution features of some slices of each axis.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, x, y, z)

    Returns
    -------
    ndarray of float64, shape (15 n, 198)
    """
    extract = SeededConvolution()
    return np.concatenate([extract(plane) for plane in planes(images, PLANES)])


def slice_distance(real: NDArray[np.float64], images: NDArray[np.uint8]) -> float:
    """Return the Frechet distance of slices of volumes to features of real ones."""
    return frechet_distance(*standardise(real, slice_features(images)))


def to_bytes(grey: Tensor) -> NDArray[np.uint8]:
    """Turn images (n, 1, x, y, z) in [0, 1] into uint8 (n, x, y, z)."""
    return (grey[:, 0] * 255).round().byte().cpu().numpy()


class AutoencoderTraining:
    """Autoencoder of volumes that are changed anew each time they are seen."""

    def __init__(
        self,
        autoencoder: Autoencoder,
        splits: tuple[Volumes, Volumes],
        options: argparse.Namespace,
        device: torch.device,
    ) -> None:
        self.options, self.device = options, device
        self.training, self.val = splits
        self.autoencoder = autoencoder.to(device)
        self.average = Average(self.autoencoder, AVERAGING)
        self.optimiser = torch.optim.Adam(self.autoencoder.parameters(), RATE, BETAS)
        self.parts = {
            "autoencoder": self.autoencoder,
            "average": self.average,
            "optimiser": self.optimiser,
        }

    def advance(self, step: int) -> Mapping[str, float]:
        """Take one step."""
        _slow_down(self.optimiser, RATE, step, self.options.autoencoder_steps)
        random = random_numbers(self.options.seed, step)
        rows = torch.randint(
            0, len(self.training), (self.options.autoencoder_batch,), generator=random
        )
        batch = take(self.training, rows.tolist(), self.device, amounts=WIDELY, random=random)
        with autocast(self.options):
            mean, log_variance = self.autoencoder.encode(batch.image, batch.box, batch.label)
            noise = torch.randn(mean.shape, generator=random).to(self.device)
            found = self.autoencoder.decode(mean + (log_variance / 2).exp() * noise)
        losses = reconstruction_losses(batch, found)
        losses["information"] = (mean.square() + log_variance.exp() - log_variance - 1).mean() / 2
        total = losses["image"]
        for name, weight in WEIGHTS_OF_LOSSES.items():
            total = total + weight * losses[name]
        self.optimiser.zero_grad()
        total.backward()
        self.optimiser.step()
        self.average.update(self.autoencoder, step)
        return {name: float(value.detach()) for name, value in losses.items()}

    @torch.inference_mode()
    def validate(self, step: int, folder: Path) -> Mapping[str, float]:
        """Measure how the val volumes come back."""
        images, labels, errors = [], [], []
        network = self.average.network
        for rows in torch.arange(len(self.val)).split(4):
            batch = take(self.val, rows.tolist(), self.device)
            with autocast(self.options):
                mean, _ = network.encode(batch.image, batch.box, batch.label)
                found = network.decode(mean)
            images.append(to_bytes(((found.image + 1) / 2).clamp(0, 1) * batch.box))
            labels.append((found.labels.argmax(dim=1) * batch.box[:, 0]).byte().cpu().numpy())
            errors.append(_within((found.image - batch.image).abs(), batch.box).item())
        made, parts = np.concatenate(images), np.concatenate(labels)
        write_picture(folder / f"val_{step:06d}.png", sheet(made[:8], parts[:8]))
        return {
            "val_difference": float(np.mean(errors)),
            "val_dice": float(np.mean(dice(parts, self.val.labels))),
        }

    def weights(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Return the averaged autoencoder."""
        return dict(self.average.network.state_dict()), {}


def reconstruction_losses(batch: Batch, found: Decoded) -> dict[str, Tensor]:
    """Compare what was decoded with what it came from."""
    difference = found.image - batch.image
    # Gaussian likelihood of what is left over; it must not make the images any less sharp.
    left = difference.detach().square() * (-2 * found.spread).exp() / 2 + found.spread
    return {
        "image": _within(difference.abs(), batch.box),
        "spread": _within(left, batch.box),
        "label": 1
        - soft_dice(found.labels, batch.label)
        + 10 * functional.cross_entropy(found.labels, batch.label),
        "box": functional.binary_cross_entropy_with_logits(found.box, batch.box),
    }


def _within(values: Tensor, box: Tensor) -> Tensor:
    """Return the mean inside the boxes."""
    return (values * box).sum() / box.sum()


def _slow_down(optimiser: torch.optim.Optimizer, rate: float, step: int, steps: int) -> None:
    """Warm up over 50 steps and let the rate fall to a tenth over the last third."""
    falling = min(1.0, max(0.1, 3 * (steps - step) / steps))
    for group in optimiser.param_groups:
        group["lr"] = rate * min(1.0, (step + 1) / 50) * falling


class DenoiserTraining:
    """Denoiser of the latent maps that an autoencoder makes of the training volumes."""

    def __init__(
        self,
        model: VolumeModel,
        splits: tuple[Volumes, Volumes],
        options: argparse.Namespace,
        device: torch.device,
    ) -> None:
        self.options, self.device = options, device
        self.training, self.val = splits
        self.real = slice_features(self.val.images)
        self.model = model.to(device).requires_grad_(requires_grad=False)
        self._fit_texture()
        self.means, self.deviations = self._maps()
        self.denoiser = self.model.denoiser.requires_grad_(requires_grad=True)
        self.average = Average(self.denoiser, AVERAGING)
        self.optimiser = torch.optim.AdamW(self.denoiser.parameters(), DENOISER_RATE)
        self.parts = {
            "denoiser": self.denoiser,
            "average": self.average,
            "optimiser": self.optimiser,
        }

    @torch.inference_mode()
    def _fit_texture(self) -> None:
        """Take the spectrum of what the autoencoder leaves over of the training volumes."""
        fields, boxes = [], []
        for rows in torch.arange(len(self.training)).split(8):
            batch = take(self.training, rows.tolist(), self.device)
            with autocast(self.options):
                mean, _ = self.model.autoencoder.encode(batch.image, batch.box, batch.label)
                found = self.model.autoencoder.decode(mean)
            fields.append((batch.image - found.image) * (-found.spread).exp() * batch.box)
            boxes.append(batch.box)
        self.model.texture.fit(torch.cat(fields), torch.cat(boxes))

    @torch.inference_mode()
    def _maps(self) -> tuple[Tensor, Tensor]:
        """Encode changed copies of the volumes; fit scale and Gaussian to the maps."""
        means, deviations = [], []
        for copy in range(self.options.copies):
            random = random_numbers(self.options.seed + 1, copy)
            for rows in torch.arange(len(self.training)).split(8):
                batch = take(
                    self.training, rows.tolist(), self.device, amounts=NARROWLY, random=random
                )
                with autocast(self.options):
                    mean, log_variance = self.model.autoencoder.encode(
                        batch.image, batch.box, batch.label
                    )
                means.append(mean)
                deviations.append((log_variance / 2).exp())
        mean, deviation = torch.cat(means), torch.cat(deviations)
        sides = (0, 2, 3, 4)
        spread = (
            mean.var(dim=sides, keepdim=True) + deviation.square().mean(sides, keepdim=True)
        ).sqrt()
        self.model.centre.copy_(mean.mean(dim=sides, keepdim=True))
        self.model.scale.copy_(spread)
        mean, deviation = (mean - self.model.centre) / spread, deviation / spread
        self.model.denoiser.fit_gaussian(mean, float(deviation.square().mean()))
        return mean, deviation

    def advance(self, step: int) -> Mapping[str, float]:
        """Take one step."""
        options = self.options
        _slow_down(self.optimiser, DENOISER_RATE, step, options.steps)
        random = random_numbers(options.seed, step)
        rows = torch.randint(0, len(self.means), (options.batch,), generator=random)
        steps = torch.randint(0, 1000, (len(rows),), generator=random)
        inner, outer = (
            torch.randn((len(rows), *self.means.shape[1:]), generator=random).to(self.device)
            for _ in range(2)
        )
        clean = self.means[rows] + self.deviations[rows] * inner
        steps = steps.to(self.device)
        alpha, sigma = (x[:, None, None, None, None] for x in noise_levels(steps.float()))
        with autocast(options):
            found = self.denoiser(alpha * clean + sigma * outer, steps)
        loss = functional.mse_loss(found, alpha * outer - sigma * clean)
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.denoiser.parameters(), 1.0)
        self.optimiser.step()
        self.average.update(self.denoiser, step)
        return {"velocity": float(loss.detach())}

    @torch.inference_mode()
    def validate(self, step: int, folder: Path) -> Mapping[str, float]:
        """Draw volumes, compare them with the val split, and choose a strength of the texture."""
        random = random_numbers(self.options.seed + 2, 0)
        noise = torch.randn(DRAWN * len(self.val), self.model.latent_size, generator=random)
        noise = noise.to(self.device)
        self.model.denoiser = self.average.network
        with autocast(self.options):
            maps = torch.cat([self.model.denoise(n, STEPS_OF_DRAWING) for n in noise.split(16)])
        self.model.denoiser = self.denoiser
        found = {}
        for strength in STRENGTHS:
            made, parts = self._decoded(maps, noise, strength)
            found[strength] = slice_distance(self.real, made)
        best = min(found, key=found.__getitem__)
        made, parts = self._decoded(maps, noise, best)
        write_picture(folder / f"drawn_{step:06d}.png", sheet(made[:16], parts[:16]))
        measured = {"val_distance": found[best], "strength": best}
        for label, name in ((1, "anterior"), (2, "posterior")):
            volumes = (parts == label).sum(axis=(1, 2, 3))
            measured |= {f"{name}_mean": volumes.mean(), f"{name}_deviation": volumes.std()}
        return {key: float(value) for key, value in measured.items()}

    def _decoded(
        self, maps: Tensor, noise: Tensor, strength: float
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        self.model.texture.strength.fill_(strength)
        images, labels = [], []
        for rows in torch.arange(len(maps)).split(8):
            with autocast(self.options):
                grey, parts = self.model.decode(maps[rows], noise[rows])
            images.append(to_bytes(grey))
            labels.append(parts[:, 0].cpu().numpy())
        return np.concatenate(images), np.concatenate(labels)

    def weights(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Return the whole model, with the averaged denoiser."""
        tensors = dict(self.model.state_dict())
        averaged = self.average.network.state_dict()
        tensors |= {f"denoiser.{name}": value for name, value in averaged.items()}
        return tensors, facts(self.model)


def facts(model: VolumeModel) -> dict[str, str]:
    """Return what is needed to build the same model."""
    return {
        "shape": " ".join(map(str, model.shape)),
        "widths": " ".join(map(str, model.autoencoder.widths)),
        "channels": str(model.autoencoder.channels),
        "width": str(model.denoiser.width),
    }


def parse_arguments() -> argparse.Namespace:
    """Read the command line; ``--steps`` and ``--batch`` are those of the denoiser."""
    parser = training_parser(str(__doc__), steps=4_000, batch=32, validate_every=250)
    parser.add_argument(
        "--autoencoder-steps", type=int, default=3_000, help="steps of the first phase"
    )
    parser.add_argument("--autoencoder-batch", type=int, default=4, help="images of its steps")
    parser.add_argument("--copies", type=int, default=COPIES, help="changed copies of each volume")
    parser.add_argument("--widths", type=int, nargs=3, default=(48, 64, 96))
    parser.add_argument("--channels", type=int, default=8, help="channels of the latent map")
    parser.add_argument("--width", type=int, default=96, help="channels of the denoiser")
    return parser.parse_args()


def main() -> None:
    """Train the autoencoder, then the denoiser."""
    options = parse_arguments()
    plans = schedule(options, "autoencoder_"), schedule(options)
    for name in ("copies", "channels"):
        if getattr(options, name) < 1:
            raise ArgumentError(f"--{name.replace('_', '-')}", getattr(options, name), "1 or more")
    widths = [*options.widths, options.width]
    if any(width < 8 or width % 8 for width in widths):
        raise ArgumentError("--widths or --width", widths, "positive multiples of 8")
    device = prepare_device(options)
    splits = read_volumes(options.data, "train"), read_volumes(options.data, "val")
    model = VolumeModel(
        splits[0].images.shape[1:],
        widths=options.widths,
        channels=options.channels,
        width=options.width,
    )
    if options.init is not None:
        start_from(options.init, model)
    settings = {
        "seed": options.seed,
        "precision": options.precision,
        "init": options.init and hash_file(options.init),
        "widths": options.widths,
        "channels": options.channels,
        "data": hash_arrays(*(array for one in splits for array in (one.images, one.labels))),
    }
    autoencoder = Phase(
        name="autoencoder",
        schedule=plans[0],
        settings=settings | {"autoencoder_batch": options.autoencoder_batch},
        begin=lambda: AutoencoderTraining(model.autoencoder, splits, options, device),
        networks=[model.autoencoder],
    )

    def begin_denoiser() -> DenoiserTraining:
        start_from(options.out / autoencoder.name / WEIGHTS, model.autoencoder)
        return DenoiserTraining(model, splits, options, device)

    denoiser = Phase(
        name="denoiser",
        schedule=plans[1],
        settings=settings | {name: getattr(options, name) for name in ("width", "copies", "batch")},
        begin=begin_denoiser,
        networks=[model.denoiser],
    )
    train_in_turn(options.out, [autoencoder, denoiser])
    shutil.copyfile(options.out / denoiser.name / WEIGHTS, options.out / WEIGHTS)
    describe_training(SUBJECT, options)


if __name__ == "__main__":
    run_script(main)
