"""Differentiable augmentation: what keeps a discriminator from learning a small set by heart.

After Zhao, Liu, Lin, Zhu and Han, "Differentiable Augmentation for Data-Efficient GAN Training",
NeurIPS 2020 (arXiv:2006.10738): the same kinds of change for real and generated images alike.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def augment(
    images: Tensor, random: torch.Generator, *, colours: int | None = None, edge: float = 0.0
) -> Tensor:
    """Change brightness, contrast and saturation, shift and cut out.

    Parameters
    ----------
    images : Tensor, shape (n, channels, height, width)
        Values in [-1, 1].
    random : torch.Generator
        On the CPU, whatever the device of the images.
    colours : int, optional
        Channels from the first that brightness, contrast and saturation change; the others, such
        as masks, are shifted and cut alone. Default: all.
    edge : float
        Value of what a shift or a cut lays bare.

    Returns
    -------
    Tensor
        The same shape, differentiable in ``images``.

    Examples
    --------
    >>> images = torch.zeros(2, 1, 16, 16)
    >>> augment(images, torch.Generator().manual_seed(0)).shape
    torch.Size([2, 1, 16, 16])
    """
    count = images.shape[1] if colours is None else colours
    frame = _coloured(images[:, :count], random)
    moved = _shifted(torch.cat([frame, images[:, count:]], dim=1), random, edge)
    return _cut(moved, random, edge)


def _coloured(images: Tensor, random: torch.Generator) -> Tensor:
    def draw(low: float, high: float) -> Tensor:
        amounts = torch.rand(len(images), 1, 1, 1, generator=random) * (high - low) + low
        return amounts.to(images)

    images = images + draw(-0.5, 0.5)
    if images.shape[1] > 1:
        grey = images.mean(dim=1, keepdim=True)
        images = (images - grey) * draw(0.0, 2.0) + grey
    level = images.mean(dim=(1, 2, 3), keepdim=True)
    return (images - level) * draw(0.5, 1.5) + level


def _shifted(images: Tensor, random: torch.Generator, edge: float) -> Tensor:
    count, _, height, width = images.shape
    reach = height // 8
    padded = functional.pad(images, (reach, reach, reach, reach), value=edge)
    moves = torch.randint(0, 2 * reach + 1, (count, 2), generator=random).tolist()
    return torch.stack(
        [padded[i, :, y : y + height, x : x + width] for i, (y, x) in enumerate(moves)]
    )


def _cut(images: Tensor, random: torch.Generator, edge: float) -> Tensor:
    count, _, height, width = images.shape
    side = height // 2
    corners = torch.randint(-side // 2, height - side // 2, (count, 2), generator=random)
    keep = torch.ones(count, 1, height, width)
    for i, (y, x) in enumerate(corners.tolist()):
        keep[i, :, max(y, 0) : y + side, max(x, 0) : x + side] = 0
    keep = keep.to(images)
    return images * keep + edge * (1 - keep)
