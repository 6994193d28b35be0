"""A conditional GAN for images, or latents of images, that are few.

Written from the papers. The generator doubles the side of its maps with gated convolutions and
batch normalisation, as that of FastGAN (Liu, Zhu, Song and Elgammal, ICLR 2021,
arXiv:2101.04775); class and latent vector enter together. The discriminator has residual blocks,
a map of how much samples of a batch differ (Karras et al., ICLR 2018, Section 3), classes by
projection (Miyato and Koyama, "cGANs with Projection Discriminator", ICLR 2018, equation 3), and
two small decoders that bring back what it has seen (FastGAN, Section 3.2): without them, most
samples of a class were soon alike.

Upsampling is never a strided transposed convolution: those leave a regular grid of dots.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

LATENT_SIZE = 128
CLASS_SIZE = 64
GENERATOR_WIDTHS = {4: 320, 8: 256, 16: 192, 32: 112, 64: 64, 128: 32}
DISCRIMINATOR_WIDTHS = {128: 16, 64: 32, 32: 64, 16: 128, 8: 224, 4: 320}
#: Feature maps of the small decoders in the discriminator.
REBUILDER_WIDTHS = (64, 48)
SLOPE = 0.2


class Classes(nn.Module):
    """A vector for the classes of a sample: the sum of one of each condition.

    Parameters
    ----------
    counts : sequence of int
        Number of values of each condition; none for a model without conditions.
    width : int
        Length of the vectors.
    """

    def __init__(self, counts: Sequence[int], width: int) -> None:
        super().__init__()
        # One row more: a value that is not known.
        self.tables = nn.ModuleList(nn.Embedding(count + 1, width) for count in counts)
        self.width = width

    def forward(self, classes: Tensor) -> Tensor:
        """Map ``classes``, int64 of shape (n, conditions) with -1 for unknown, to (n, width)."""
        total = torch.zeros(len(classes), self.width, device=classes.device)
        for table, column in zip(self.tables, classes.unbind(1), strict=True):
            total = total + table(column % table.num_embeddings)
        return total


def _gated(inputs: int, outputs: int) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs * 2, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs * 2),
        nn.GLU(dim=1),
    ]


class Level(nn.Module):
    """One resolution of the generator: double the side, then refine beside a direct path."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        upsample = nn.Upsample(scale_factor=2, mode="nearest")
        self.enlarge = nn.Sequential(upsample, *_gated(inputs, outputs))
        self.refine = nn.Sequential(*_gated(outputs, outputs))

    def forward(self, maps: Tensor) -> Tensor:
        """Map (n, inputs, h, w) to (n, outputs, 2h, 2w)."""
        enlarged = self.enlarge(maps)
        refined: Tensor = enlarged + self.refine(enlarged)
        return refined


class Generator(nn.Module):
    """Latent vectors and classes to images.

    Parameters
    ----------
    counts : sequence of int
        Number of values of each condition.
    channels : int
        Channels of the image, with one more for a mask.
    size : int
        Side of the square output, in pixels or latents: 8, 16, 32, 64 or 128.
    width : float
        Factor on the number of feature maps.
    is_bounded : bool
        Whether what is drawn lies in [-1, 1], as images do and latents do not.
    """

    def __init__(
        self,
        counts: Sequence[int] = (),
        *,
        channels: int = 1,
        size: int = 128,
        width: float = 1.0,
        is_bounded: bool = True,
    ) -> None:
        super().__init__()
        widths = _widths(GENERATOR_WIDTHS, size, width)
        sides = sorted(widths)
        self.classes = Classes(counts, CLASS_SIZE)
        self.start = nn.Sequential(
            nn.ConvTranspose2d(LATENT_SIZE + CLASS_SIZE, widths[4] * 2, 4, bias=False),
            nn.BatchNorm2d(widths[4] * 2),
            nn.GLU(dim=1),
        )
        self.refine = nn.Sequential(*_gated(widths[4], widths[4]))
        self.levels = nn.ModuleList(Level(widths[a], widths[b]) for a, b in pairwise(sides))
        self.to_image = nn.Conv2d(widths[size], channels, 3, padding=1)
        self.is_bounded = is_bounded

    def forward(self, latents: Tensor, classes: Tensor) -> Tensor:
        """Return images.

        Parameters
        ----------
        latents : Tensor, shape (n, 128)
        classes : Tensor of int64, shape (n, conditions)
            Place of the value of each condition, -1 where it does not matter.

        Returns
        -------
        Tensor of float32, shape (n, channels, size, size)
            In [-1, 1] if bounded.
        """
        # All latent vectors on one sphere, where nearly all of the normal distribution lies.
        direction = latents * torch.rsqrt(latents.square().mean(dim=1, keepdim=True) + 1e-8)
        known = torch.cat([direction, self.classes(classes)], dim=1)
        start = self.start(known[..., None, None])
        maps = (start + self.refine(start)).contiguous(memory_format=torch.channels_last)
        for level in self.levels:
            maps = level(maps)
        image: Tensor = self.to_image(maps).float()
        return torch.tanh(image) if self.is_bounded else image


def _convolution(
    inputs: int, outputs: int, side: int, *, stride: int = 1, spectral: bool = False
) -> nn.Conv2d:
    padding = (side - 1) // 2
    layer = nn.Conv2d(inputs, outputs, side, stride, padding)
    return spectral_norm(layer) if spectral else layer


class Halving(nn.Module):
    """One resolution of the discriminator: a strided path and a pooled path."""

    def __init__(self, inputs: int, outputs: int, *, spectral: bool) -> None:
        super().__init__()
        self.main = nn.Sequential(
            _convolution(inputs, outputs, 4, stride=2, spectral=spectral),
            nn.LeakyReLU(SLOPE),
            _convolution(outputs, outputs, 3, spectral=spectral),
            nn.LeakyReLU(SLOPE),
        )
        direct = _convolution(inputs, outputs, 1, spectral=spectral)
        self.direct = nn.Sequential(nn.AvgPool2d(2), direct)

    def forward(self, maps: Tensor) -> Tensor:
        """Map (n, inputs, 2h, 2w) to (n, outputs, h, w)."""
        # About the deviation of one of the two.
        summed: Tensor = (self.main(maps) + self.direct(maps)) * 0.7
        return summed


class Rebuilder(nn.Sequential):
    """A small decoder that makes the discriminator keep what it has seen."""

    def __init__(self, inputs: int, channels: int) -> None:
        layers: list[nn.Module] = []
        for before, after in pairwise((inputs, *REBUILDER_WIDTHS)):
            upsample = nn.Upsample(scale_factor=2)
            layers += [upsample, nn.Conv2d(before, after, 3, padding=1), nn.LeakyReLU(SLOPE)]
        super().__init__(*layers, nn.Conv2d(REBUILDER_WIDTHS[-1], channels, 3, padding=1))


class Discriminator(nn.Module):
    """How real images are for their classes.

    Parameters
    ----------
    counts, channels, size, width
        As those of the `Generator`.
    spectral : bool
        Whether convolutions have their largest singular value at 1 (Miyato et al., ICLR 2018).
    """

    def __init__(
        self,
        counts: Sequence[int] = (),
        *,
        channels: int = 1,
        size: int = 128,
        width: float = 1.0,
        spectral: bool = False,
    ) -> None:
        super().__init__()
        widths = _widths(DISCRIMINATOR_WIDTHS, size, width)
        sides = sorted(widths, reverse=True)
        coarsest = widths[sides[-1]]
        self.entry = nn.Sequential(
            _convolution(channels, widths[size], 3, spectral=spectral),
            nn.LeakyReLU(SLOPE),
            _convolution(widths[size], widths[size], 3, spectral=spectral),
            nn.LeakyReLU(SLOPE),
        )
        self.blocks = nn.ModuleList(
            Halving(widths[a], widths[b], spectral=spectral) for a, b in pairwise(sides)
        )
        self.last = nn.Sequential(
            _convolution(coarsest + 1, coarsest, 3, spectral=spectral),
            nn.LeakyReLU(SLOPE),
            nn.Flatten(),
            nn.Linear(16 * coarsest, coarsest),
            nn.LeakyReLU(SLOPE),
        )
        self.score = nn.Linear(coarsest, 1)
        self.patches = nn.Conv2d(widths[sides[-2]], 1, 1)
        self.classes = Classes(counts, coarsest)
        self.rebuild_whole = Rebuilder(coarsest, channels)
        self.rebuild_part = Rebuilder(widths[sides[-2]], channels)

    def forward(self, images: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores of shape (n,) and the features that they are made from, (n, width)."""
        return self._judge(*self._maps(images), classes)

    def judge_and_rebuild(
        self, images: Tensor, classes: Tensor, quadrant: int
    ) -> tuple[Tensor, Tensor]:
        """Return scores, and the error of what was rebuilt: the whole and one quadrant of it."""
        middle, coarse = self._maps(images)
        row, column = divmod(quadrant, 2)
        half, side = middle.shape[-1] // 2, images.shape[-1] // 2
        part = middle[..., row * half : (row + 1) * half, column * half : (column + 1) * half]
        target = images[..., row * side : (row + 1) * side, column * side : (column + 1) * side]
        error = _difference(self.rebuild_whole(coarse), images)
        error = error + _difference(self.rebuild_part(part), target)
        return self._judge(middle, coarse, classes)[0], error

    def _maps(self, images: Tensor) -> tuple[Tensor, Tensor]:
        maps = [self.entry(images)]
        for block in self.blocks:
            maps.append(block(maps[-1]))
        return maps[-2], maps[-1]

    def _judge(self, middle: Tensor, coarse: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        # How much samples of a batch differ: what shows that all are alike.
        spread = coarse.float().std(dim=0).mean().to(coarse.dtype).expand_as(coarse[:, :1])
        features = self.last(torch.cat([coarse, spread], dim=1)).float()
        projection = (features * self.classes(classes)).mean(dim=1)
        scores = self.score(features).float().squeeze(1) + projection
        return scores + self.patches(middle).float().mean(dim=(1, 2, 3)), features


def new_generator(facts: Mapping[str, str]) -> Generator:
    """Return an untrained generator as the facts in a weights file have it."""
    return Generator(**_sizes(facts), is_bounded=facts["latents"] == "0")


def new_discriminator(facts: Mapping[str, str], *, spectral: bool = False) -> Discriminator:
    """Return an untrained discriminator of what such a generator draws."""
    return Discriminator(**_sizes(facts), spectral=spectral)


def _sizes(facts: Mapping[str, str]) -> dict[str, Any]:
    return {
        "counts": [len(values) for values in json.loads(facts["conditions"]).values()],
        "channels": int(facts["channels"]),
        "size": int(facts["side"]),
        "width": float(facts["width"]),
    }


def _difference(rebuilt: Tensor, images: Tensor) -> Tensor:
    side = min(rebuilt.shape[-1], images.shape[-1])
    found, wanted = (functional.adaptive_avg_pool2d(m.float(), side) for m in (rebuilt, images))
    return functional.l1_loss(found, wanted)


def _widths(full: dict[int, int], size: int, factor: float) -> dict[int, int]:
    return {side: max(4, round(full[side] * factor)) for side in full if side <= size}
