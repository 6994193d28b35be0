"""A light-weight GAN for few images, in the latent space of an autoencoder of frames with masks.

Written from Liu, Zhu, Song and Elgammal, "Towards Faster and Stabilized GAN Training for
High-fidelity Few-shot Image Synthesis", ICLR 2021 (arXiv:2101.04775): skip-layer channel
excitation in the generator (Section 3.1), a discriminator that is also an auto-encoder
(Section 3.2). Differences: what is drawn and judged are latents of a frame together with its
mask, not pixels; there is no noise injection, so that the latent vector alone fixes the sample;
the reconstruction loss is an L1 distance.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

LATENT_SIZE = 128
GENERATOR_WIDTHS = {4: 192, 8: 128, 16: 96}
DISCRIMINATOR_WIDTHS = {16: 64, 8: 128, 4: 192}
#: Feature maps of the small decoders in the discriminator.
REBUILDER_WIDTHS = (64, 48)
SLOPE = 0.2
#: Side of the smallest maps of both networks.
LEAST = 4


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
        self.enlarge = nn.Sequential(
            nn.Upsample(scale_factor=2, mode="nearest"), *_gated(inputs, outputs)
        )
        self.refine = nn.Sequential(*_gated(outputs, outputs))

    def forward(self, maps: Tensor) -> Tensor:
        """Map (n, inputs, h, w) to (n, outputs, 2h, 2w)."""
        doubled = self.enlarge(maps)
        refined: Tensor = doubled + self.refine(doubled)
        return refined


class SkipExcitation(nn.Module):
    """Let a coarse feature map choose the channels of a fine one (equation 1 of the paper)."""

    def __init__(self, coarse: int, fine: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(4),
            nn.Conv2d(coarse, fine, 4, bias=False),
            nn.SiLU(),
            nn.Conv2d(fine, fine, 1, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Weigh the channels of ``fine`` by gates computed from ``coarse``."""
        gated: Tensor = fine * self.gate(coarse)
        return gated


class Generator(nn.Module):
    """Latent vectors to latents of frames with masks.

    Parameters
    ----------
    channels : int
        Channels of what is drawn.
    side : int
        Its side, 8 or 16.
    """

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        widths = GENERATOR_WIDTHS
        self.start = nn.Sequential(
            nn.ConvTranspose2d(LATENT_SIZE, widths[4] * 2, 4, bias=False),
            nn.BatchNorm2d(widths[4] * 2),
            nn.GLU(dim=1),
        )
        self.refine = nn.Sequential(*_gated(widths[4], widths[4]))
        self.levels = nn.ModuleList(
            Level(widths[s // 2], widths[s]) for s in widths if LEAST < s <= side
        )
        self.skip = SkipExcitation(widths[4], widths[side])
        self.out = nn.Conv2d(widths[side], channels, 3, padding=1)

    def forward(self, latents: Tensor) -> Tensor:
        """Map ``latents`` of shape (n, 128) to (n, channels, side, side)."""
        # Unit length per variable keeps interpolations on the shell where the prior lives.
        latents = latents * torch.rsqrt(latents.square().mean(dim=1, keepdim=True) + 1e-8)
        start = self.start(latents[:, :, None, None])
        coarse = start + self.refine(start)
        maps = coarse
        for level in self.levels:
            maps = level(maps)
        drawn: Tensor = self.out(self.skip(coarse, maps))
        return drawn


class Halving(nn.Module):
    """Halve the side: a strided path and a pooled path."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(inputs, outputs, 4, stride=2, padding=1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(outputs, outputs, 3, padding=1),
            nn.LeakyReLU(SLOPE),
        )
        self.direct = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(inputs, outputs, 1))

    def forward(self, maps: Tensor) -> Tensor:
        """Map (n, inputs, 2h, 2w) to (n, outputs, h, w)."""
        # About the deviation of one of the two.
        summed: Tensor = (self.main(maps) + self.direct(maps)) * 0.7
        return summed


class Rebuilder(nn.Sequential):
    """A small decoder that makes the discriminator keep what it has seen."""

    def __init__(self, inputs: int, channels: int) -> None:
        layers: list[nn.Module] = []
        for before, after in zip((inputs, *REBUILDER_WIDTHS), REBUILDER_WIDTHS, strict=False):
            layers += [
                nn.Upsample(scale_factor=2),
                nn.Conv2d(before, after, 3, padding=1),
                nn.LeakyReLU(SLOPE),
            ]
        super().__init__(*layers, nn.Conv2d(REBUILDER_WIDTHS[-1], channels, 3, padding=1))


class Discriminator(nn.Module):
    """How real latents are, as a whole and in patches, and reconstructions of what was seen.

    Parameters
    ----------
    channels, side : int
        As those of the `Generator`.
    """

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        widths = DISCRIMINATOR_WIDTHS
        first, last = widths[side], widths[LEAST]
        self.entry = nn.Sequential(
            nn.Conv2d(channels, first, 3, padding=1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(first, first, 3, padding=1),
            nn.LeakyReLU(SLOPE),
        )
        self.down = nn.ModuleList(Halving(widths[2 * s], widths[s]) for s in widths if s < side)
        self.last = nn.Sequential(
            nn.Conv2d(last + 1, last, 3, padding=1),
            nn.LeakyReLU(SLOPE),
            nn.Flatten(),
            nn.Linear(LEAST * LEAST * last, last),
            nn.LeakyReLU(SLOPE),
            nn.Linear(last, 1),
        )
        self.patches = nn.Conv2d(widths[2 * LEAST], 1, 1)
        self.decode_whole = Rebuilder(last, channels)
        self.decode_part = Rebuilder(widths[2 * LEAST], channels)

    def forward(self, seen: Tensor) -> Tensor:
        """Return scores of shape (n,) of latents (n, channels, side, side)."""
        return self._score(*self._features(seen))

    def score_and_reconstruct(self, seen: Tensor, quadrant: int) -> tuple[Tensor, Tensor]:
        """Return the scores and the reconstruction errors of the whole and of one quadrant."""
        middle, coarse = self._features(seen)
        row, column = divmod(quadrant, 2)
        half, side = middle.shape[-1] // 2, seen.shape[-1] // 2
        part = middle[..., row * half : (row + 1) * half, column * half : (column + 1) * half]
        target = seen[..., row * side : (row + 1) * side, column * side : (column + 1) * side]
        error = _difference(self.decode_whole(coarse), seen)
        error = error + _difference(self.decode_part(part), target)
        return self._score(middle, coarse), error

    def _features(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        maps = [self.entry(seen)]
        for block in self.down:
            maps.append(block(maps[-1]))
        return maps[-2], maps[-1]

    def _score(self, middle: Tensor, coarse: Tensor) -> Tensor:
        # How much samples of a batch differ: what shows that all are alike.
        spread = coarse.float().std(dim=0).mean().to(coarse.dtype).expand_as(coarse[:, :1])
        whole: Tensor = self.last(torch.cat([coarse, spread], dim=1)).float().squeeze(1)
        return whole + self.patches(middle).float().mean(dim=(1, 2, 3))


def _difference(decoded: Tensor, seen: Tensor) -> Tensor:
    shrunk = functional.adaptive_avg_pool2d(decoded.float(), seen.shape[-2:])
    return functional.l1_loss(shrunk, seen)
