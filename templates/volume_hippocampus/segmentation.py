"""A small 3D U-Net: what synthetic volumes are worth for finding the hippocampus in real ones."""

from __future__ import annotations

import numpy as np
import torch
from network import LABELS, Residual, from_blocks, to_blocks
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from volumes import UNCHANGED, Amounts, Volumes, take

from medmint.model_trainer import random_numbers

RATE = 2e-3
BATCH, WIDTH = 4, 32


class SmallUNet(nn.Module):
    """A U-Net of three levels that works on blocks of 2 x 2 x 2 voxels.

    References
    ----------
    Çiçek et al., "3D U-Net: Learning Dense Volumetric Segmentation from Sparse Annotation",
    MICCAI 2016.
    """

    def __init__(self) -> None:
        super().__init__()
        conv = nn.Conv3d
        self.first = nn.Sequential(conv(8, WIDTH, 3, padding=1), Residual(WIDTH))
        self.second = nn.Sequential(conv(WIDTH, WIDTH, 3, 2, 1), Residual(WIDTH))
        self.third = nn.Sequential(conv(WIDTH, WIDTH, 3, 2, 1), Residual(WIDTH))
        self.joined_second = nn.Sequential(conv(2 * WIDTH, WIDTH, 3, padding=1), Residual(WIDTH))
        self.joined_first = nn.Sequential(conv(2 * WIDTH, WIDTH, 3, padding=1), Residual(WIDTH))
        self.last = conv(WIDTH, 8 * LABELS, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Turn images (n, 1, x, y, z) in [-1, 1] into logits (n, 3, x, y, z)."""
        first = self.first(to_blocks(images))
        second = self.second(first)
        third = self.third(second)
        joined = self.joined_second(torch.cat([_doubled(third), second], dim=1))
        logits: Tensor = self.last(self.joined_first(torch.cat([_doubled(joined), first], dim=1)))
        return from_blocks(logits)


def _doubled(features: Tensor) -> Tensor:
    return functional.interpolate(features, scale_factor=2.0, mode="nearest")


def train_network(
    sources: list[Volumes], *, steps: int, seed: int, amounts: Amounts = UNCHANGED
) -> SmallUNet:
    """Train on volumes of several sources, each as often as the others.

    Parameters
    ----------
    sources : list of Volumes
    steps, seed : int
    amounts : Amounts
        How much volumes are changed each time they are seen.
    """
    torch.manual_seed(seed)
    network = SmallUNet()
    optimiser = torch.optim.AdamW(network.parameters(), RATE)
    falling = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    for step in range(steps):
        random = random_numbers(seed, step)
        volumes = sources[step % len(sources)]
        rows = torch.randint(0, len(volumes), (BATCH,), generator=random).tolist()
        batch = take(volumes, rows, torch.device("cpu"), amounts=amounts, random=random)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = network(batch.image).float()
        loss = segmentation_loss(logits, batch.label)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        falling.step()
    return network


def segmentation_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return cross-entropy and what is missing in Dice."""
    return 1 - soft_dice(logits, labels) + functional.cross_entropy(logits, labels)


def soft_dice(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the Dice coefficient of chances, its mean over the labels but the background."""
    names = functional.one_hot(labels, LABELS).movedim(-1, 1).float()
    chances = logits.softmax(dim=1)
    sides = (0, 2, 3, 4)
    overlap = 2 * (chances * names).sum(sides) / (chances + names).sum(sides).clamp(min=1)
    return overlap[1:].mean()


@torch.inference_mode()
def dice_of_each(network: SmallUNet, volumes: Volumes) -> NDArray[np.float64]:
    """Return the Dice coefficient of each label of each volume, shape (n, 2)."""
    found = []
    for rows in torch.arange(len(volumes)).split(BATCH):
        batch = take(volumes, rows.tolist(), torch.device("cpu"))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            predicted = network(batch.image).argmax(dim=1)
        for one, other in zip(predicted.numpy(), batch.label.numpy(), strict=True):
            found.append(dice(one, other))
    return np.array(found)


def dice(one: NDArray[np.integer], other: NDArray[np.integer]) -> list[float]:
    """Return the Dice coefficient of each label of two label maps; 1 where both have none."""
    return [_overlap(one == label, other == label) for label in range(1, LABELS)]


def _overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    whole = int(one.sum() + other.sum())
    return float(2 * (one & other).sum() / whole) if whole else 1.0
