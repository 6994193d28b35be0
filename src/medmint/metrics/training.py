"""Train one small network under a plan, and predict with it."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from medmint.metrics.small_networks import SmallClassifier, SmallUNet, with_seeded_weights

if TYPE_CHECKING:
    from medmint.metrics.training_plan import Examples, TrainingPlan

Array = NDArray[Any]
_CHUNK = 128


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained network."""

    network: nn.Module
    side: int
    is_classifier: bool

    def predict(self, images: Array) -> NDArray[np.float64]:
        """Return class probabilities (n, classes) or masks of 0 and 1 (n, side, side)."""
        outputs = []
        with torch.inference_mode():
            for start in range(0, len(images), _CHUNK):
                logits = self.network(_pixels(images[start : start + _CHUNK], self.side))
                outputs.append(logits.softmax(dim=1) if self.is_classifier else logits > 0)
        return torch.cat(outputs).double().numpy()

    def reduced(self, masks: Array) -> Array:
        """Return masks at the size at which the network works."""
        return _masks(masks, self.side).numpy()


class Trainer:
    """Trains networks that differ in nothing but their data and seed.

    Parameters
    ----------
    plan : TrainingPlan
    validation : Examples
        Real images that choose the weights which are kept.
    classes : int
        Number of classes, 0 for masks.
    """

    def __init__(self, plan: TrainingPlan, validation: Examples, *, classes: int) -> None:
        self._plan = plan
        self._classes = classes
        self._images = _pixels(validation.images, plan.side)
        self._targets = self._target(validation)

    def train(
        self, real: Examples | None, synthetic: Examples | None, *, augment: bool, seed: int
    ) -> Trained:
        """Train on real images, synthetic ones, or half and half in each batch."""
        plan = self._plan
        sets = [
            (_pixels(examples.images, plan.side), self._target(examples))
            for examples in (real, synthetic)
            if examples is not None
        ]
        network = self._network(sets[0][0].shape[1], seed)
        optimizer = torch.optim.Adam(network.parameters(), lr=plan.learning_rate)
        random = np.random.default_rng(seed)
        best, kept = math.inf, network.state_dict()
        for step in range(1, plan.steps + 1):
            images, targets = _batch(sets, plan.batch_size, random)
            if augment:
                images, targets = augmented(images, targets, random)
            rate = plan.learning_rate * (1 + math.cos(math.pi * step / plan.steps)) / 2
            optimizer.param_groups[0]["lr"] = rate
            optimizer.zero_grad()
            loss = self._loss(network(images), targets)
            torch.autograd.backward(loss)
            optimizer.step()
            if step % plan.every == 0 or step == plan.steps:
                unseen = self._validation_loss(network)
                if unseen < best:
                    best, kept = unseen, copy.deepcopy(network.state_dict())
        network.load_state_dict(kept)
        return Trained(network.eval(), plan.side, bool(self._classes))

    def _network(self, channels: int, seed: int) -> nn.Module:
        width = self._plan.width
        with torch.device("meta"):
            network: nn.Module = (
                SmallClassifier(channels, self._classes, width)
                if self._classes
                else SmallUNet(channels, width)
            )
        return with_seeded_weights(network, seed)

    def _target(self, examples: Examples) -> Tensor:
        if self._classes:
            return torch.from_numpy(examples.targets.astype(np.int64))
        return _masks(examples.targets, self._plan.side)

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy; for masks plus one minus the soft Dice of the batch."""
        if self._classes:
            return functional.cross_entropy(logits, targets)
        overlap = 2 * (logits.sigmoid() * targets).sum() + 1
        soft_dice = overlap / (logits.sigmoid().sum() + targets.sum() + 1)
        return functional.binary_cross_entropy_with_logits(logits, targets) + 1 - soft_dice

    def _validation_loss(self, network: nn.Module) -> float:
        with torch.inference_mode():
            return float(self._loss(network(self._images), self._targets))


def augmented(
    images: Tensor, targets: Tensor, random: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Mirror, rotate by up to 20 degrees, shift by up to a tenth and change colours.

    Parameters
    ----------
    images : tensor of float32, shape (n, channels, side, side)
        In [-1, 1].
    targets : tensor, shape (n, side, side) or (n,)
        Masks are moved with their images.
    random : numpy.random.Generator

    Returns
    -------
    tuple of two tensors
        As they came.
    """
    count = len(images)
    angle = random.uniform(-np.pi / 9, np.pi / 9, count)
    mirror = random.choice([-1.0, 1.0], (2, count))
    move = random.uniform(-0.2, 0.2, (2, count))
    cosine, sine = np.cos(angle), np.sin(angle)
    matrix = np.stack(
        [
            np.stack([mirror[0] * cosine, -mirror[0] * sine, move[0]], axis=1),
            np.stack([mirror[1] * sine, mirror[1] * cosine, move[1]], axis=1),
        ],
        axis=1,
    )
    theta = torch.from_numpy(matrix.astype(np.float32))
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    images = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    shape = (count, images.shape[1], 1, 1)
    gain = torch.from_numpy(random.uniform(0.8, 1.2, shape).astype(np.float32))
    offset = torch.from_numpy(random.uniform(-0.1, 0.1, shape).astype(np.float32))
    if targets.ndim > 1:
        masks = functional.grid_sample(targets[:, None], grid, mode="nearest", align_corners=False)
        targets = masks[:, 0]
    return (images * gain + offset).clamp(-1, 1), targets


def _batch(
    sets: list[tuple[Tensor, Tensor]], size: int, random: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Draw a batch, an equal part from each set."""
    parts = []
    for number, (images, targets) in enumerate(sets):
        count = size // len(sets) + (number < size % len(sets))
        rows = torch.from_numpy(random.integers(len(images), size=count))
        parts.append((images[rows], targets[rows]))
    return torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])


def _pixels(images: Array, side: int) -> Tensor:
    """Return images as float32 (n, channels, side, side) in [-1, 1]."""
    values = images[..., None] if images.ndim == 3 else images
    pixels = torch.from_numpy(values.astype(np.float32)).permute(0, 3, 1, 2) / 127.5 - 1
    return functional.interpolate(pixels, size=(side, side), mode="bilinear", antialias=True)


def _masks(masks: Array, side: int) -> Tensor:
    """Return masks as float32 (n, side, side) of 0 and 1: what is covered by at least half."""
    covered = torch.from_numpy((masks != 0).astype(np.float32))[:, None]
    reduced = functional.interpolate(covered, size=(side, side), mode="bilinear", antialias=True)
    return (reduced[:, 0] >= 0.5).float()
