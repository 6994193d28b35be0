"""A light-weight GAN for few images: RGB frame and segmentation mask in one go.

Written from Liu, Zhu, Song and Elgammal, "Towards Faster and Stabilized GAN Training for
High-fidelity Few-shot Image Synthesis", ICLR 2021 (arXiv:2101.04775): skip-layer channel
excitation in the generator (Section 3.1), a discriminator that is also an auto-encoder
(Section 3.2). Differences: the image has four channels (red, green, blue, mask), there is no
noise injection (so that the latent vector alone fixes the sample), and the reconstruction loss
is an L1 distance, because no pretrained perceptual network is used.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

LATENT_SIZE = 128
CHANNELS = 4
GENERATOR_WIDTHS = {4: 256, 8: 256, 16: 128, 32: 96, 64: 48, 128: 24}
DISCRIMINATOR_WIDTHS = {128: 16, 64: 32, 32: 64, 16: 128, 8: 192}


class UpBlock(nn.Sequential):
    """Double the resolution: nearest neighbour, convolution, batch norm, gated linear unit."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Upsample(scale_factor=2, mode="nearest"),
            nn.Conv2d(inputs, outputs * 2, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs * 2),
            nn.GLU(dim=1),
        )


class Refine(nn.Sequential):
    """Keep the resolution: one more convolution where a level carries most of the shape."""

    def __init__(self, channels: int) -> None:
        super().__init__(
            nn.Conv2d(channels, channels * 2, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels * 2),
            nn.GLU(dim=1),
        )


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
    """Latent vectors to frames with masks.

    Parameters
    ----------
    size : int
        Side of the square output in pixels, 64 or 128.
    """

    def __init__(self, size: int = 128) -> None:
        super().__init__()
        widths = GENERATOR_WIDTHS
        self.size = size
        self.start = nn.Sequential(
            nn.ConvTranspose2d(LATENT_SIZE, widths[4] * 2, 4, bias=False),
            nn.BatchNorm2d(widths[4] * 2),
            nn.GLU(dim=1),
        )
        levels = [side for side in widths if 8 <= side <= size]
        self.up = nn.ModuleDict({str(s): UpBlock(widths[s // 2], widths[s]) for s in levels})
        self.refine = nn.ModuleDict({str(s): Refine(widths[s]) for s in levels if s in (8, 16, 32)})
        self.skip = nn.ModuleDict(
            {str(s): SkipExcitation(widths[s // 16], widths[s]) for s in levels if s >= 64}
        )
        self.to_image = nn.Conv2d(widths[size], CHANNELS, 3, padding=1)

    def forward(self, latents: Tensor) -> Tensor:
        """Map ``latents`` of shape (n, 128) to images of shape (n, 4, size, size) in [-1, 1]."""
        # Unit length per variable keeps interpolations on the shell where the prior lives.
        latents = latents * torch.rsqrt(latents.square().mean(dim=1, keepdim=True) + 1e-8)
        maps = {4: self.start(latents[:, :, None, None])}
        for key, block in self.up.items():
            side = int(key)
            features = block(maps[side // 2])
            if key in self.refine:
                features = features + self.refine[key](features)
            if key in self.skip:
                features = self.skip[key](maps[side // 16], features)
            maps[side] = features
        return torch.tanh(self.to_image(maps[self.size]))


def sharpen(frames: Tensor, amount: float) -> Tensor:
    """Give frames back some of the fine texture that the last convolutions smooth away.

    Parameters
    ----------
    frames : Tensor, shape (n, 3, height, width)
        Values in [-1, 1].
    amount : float
        Weight of each neighbour that is subtracted along each axis; 0 changes nothing.

    Returns
    -------
    Tensor
        The same shape and range.
    """
    row = torch.tensor([-amount, 1 + 2 * amount, -amount], device=frames.device)
    kernel = torch.outer(row, row).expand(3, 1, 3, 3)
    padded = functional.pad(frames, (1, 1, 1, 1), mode="replicate")
    return functional.conv2d(padded, kernel, groups=3).clamp(-1, 1)


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Module:
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding=(kernel - 1) // 2, bias=False)
    return spectral_norm(layer)


class DownBlock(nn.Module):
    """Halve the resolution: a strided path and a pooled path, averaged."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            _conv(inputs, outputs, 4, 2),
            nn.BatchNorm2d(outputs),
            nn.LeakyReLU(0.2),
            _conv(outputs, outputs, 3),
            nn.BatchNorm2d(outputs),
            nn.LeakyReLU(0.2),
        )
        self.direct = nn.Sequential(
            nn.AvgPool2d(2), _conv(inputs, outputs, 1), nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map (n, inputs, 2h, 2w) to (n, outputs, h, w)."""
        averaged: Tensor = (self.main(images) + self.direct(images)) / 2
        return averaged


class Decoder(nn.Sequential):
    """A small decoder that makes the discriminator keep what an image looks like."""

    def __init__(self, channels: int) -> None:
        widths = (channels, 64, 32, 16)
        blocks = [UpBlock(a, b) for a, b in pairwise(widths)]
        super().__init__(*blocks, nn.Conv2d(widths[-1], CHANNELS, 3, padding=1), nn.Tanh())


class Discriminator(nn.Module):
    """Patch-wise realness, and reconstructions of what was seen.

    Parameters
    ----------
    size : int
        Side of the square input in pixels, 64 or 128.
    """

    def __init__(self, size: int = 128) -> None:
        super().__init__()
        widths = DISCRIMINATOR_WIDTHS
        self.entry = nn.Sequential(_conv(CHANNELS, widths[size], 3), nn.LeakyReLU(0.2))
        levels = [side for side in widths if side < size]
        self.down = nn.ModuleList(DownBlock(widths[s * 2], widths[s]) for s in levels)
        self.score = nn.Sequential(
            _conv(widths[8], widths[8], 1),
            nn.BatchNorm2d(widths[8]),
            nn.LeakyReLU(0.2),
            _conv(widths[8], 1, 4),
        )
        self.decode_whole = Decoder(widths[8])
        self.decode_part = Decoder(widths[16])

    def forward(self, images: Tensor) -> Tensor:
        """Return realness scores of shape (n, patches) for images of shape (n, 4, size, size)."""
        return self._score(self._features(images)[1])

    def score_and_reconstruct(self, images: Tensor, quadrant: int) -> tuple[Tensor, Tensor]:
        """Return the scores and the reconstruction errors of the whole and of one quadrant."""
        middle, coarse = self._features(images)
        row, column = divmod(quadrant, 2)
        half, side = middle.shape[-1] // 2, images.shape[-1] // 2
        part = middle[..., row * half : (row + 1) * half, column * half : (column + 1) * half]
        target = images[..., row * side : (row + 1) * side, column * side : (column + 1) * side]
        error = _difference(self.decode_whole(coarse), images)
        error = error + _difference(self.decode_part(part), target)
        return self._score(coarse), error

    def _features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.entry(images)
        maps = []
        for block in self.down:
            features = block(features)
            maps.append(features)
        return maps[-2], maps[-1]

    def _score(self, features: Tensor) -> Tensor:
        scores: Tensor = self.score(features)
        return scores.flatten(1)


def _difference(decoded: Tensor, images: Tensor) -> Tensor:
    target = functional.interpolate(images, size=decoded.shape[-2:], mode="area")
    return functional.l1_loss(decoded.float(), target.float())
