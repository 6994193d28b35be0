"""An autoencoder of frames with their masks: 8-fold compression along each axis.

Written from Rombach, Blattmann, Lorenz, Esser and Ommer, "High-Resolution Image Synthesis with
Latent Diffusion Models", CVPR 2022 (arXiv:2112.10752), Section 3.1, far narrower, and without a
pretrained perceptual loss: feature maps of its discriminator take that place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

#: Red, green, blue and mask.
IMAGE_CHANNELS = 4
#: Side of a frame over the side of its latents.
COMPRESSION = 8
CHANNELS = 8
#: Feature maps at 1, 1/2, 1/4 and 1/8 of the side.
WIDTHS = (24, 48, 80, 128)
JUDGE_WIDTHS = (24, 48, 96)
FIRST_LOG_VARIANCE = -6.0


def _norm(channels: int) -> nn.GroupNorm:
    # Two channels a group or more: on maps of one pixel, one channel would be one number.
    return nn.GroupNorm(math.gcd(8, channels // 2 or 1, channels), channels)


class Residual(nn.Module):
    """Two convolutions beside a direct path."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _norm(channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            _norm(channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map (n, channels, h, w) to the same shape."""
        summed: Tensor = features + self.layers(features)
        return summed


class Upsample(nn.Sequential):
    """Double the side: nearest neighbour, then a convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Upsample(scale_factor=2, mode="nearest"),
            nn.Conv2d(inputs, outputs, 3, padding=1),
        )


class Encoder(nn.Sequential):
    """Frames with masks to mean and log-variance of their latents."""

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        # No layer at the full side: it would cost as much as all the others.
        _, half, quarter, eighth = widths
        super().__init__(
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * IMAGE_CHANNELS, half, 3, padding=1),
            Residual(half),
            nn.Conv2d(half, quarter, 3, stride=2, padding=1),
            Residual(quarter),
            nn.Conv2d(quarter, eighth, 3, stride=2, padding=1),
            Residual(eighth),
            _norm(eighth),
            nn.SiLU(),
            nn.Conv2d(eighth, 2 * channels, 1),
        )
        # A little noise at first: with that of a prior, nothing would be seen for many steps.
        nn.init.constant_(self[-1].bias[channels:], FIRST_LOG_VARIANCE)


class Decoder(nn.Sequential):
    """Latents to frames with masks."""

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        whole, half, quarter, eighth = widths
        super().__init__(
            nn.Conv2d(channels, eighth, 3, padding=1),
            Residual(eighth),
            Residual(eighth),
            Upsample(eighth, quarter),
            Residual(quarter),
            Upsample(quarter, half),
            Residual(half),
            Upsample(half, whole),
            Residual(whole),
            _norm(whole),
            nn.SiLU(),
            nn.Conv2d(whole, IMAGE_CHANNELS, 3, padding=1),
        )


class Autoencoder(nn.Module):
    """Frames with masks to latents of an eighth of the side, and back.

    Parameters
    ----------
    channels : int
        Channels of the latents.
    widths : sequence of int
        Feature maps at 1, 1/2, 1/4 and 1/8 of the side.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, channels: int = CHANNELS, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        self.encoder = Encoder(channels, widths)
        self.decoder = Decoder(channels, widths)
        # Of the latents, to bring them to mean 0 and deviation 1 and back.
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("deviation", torch.ones(channels, 1, 1))

    def encode(self, pairs: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance (n, channels, h, w) of pairs (n, 4, 8h, 8w) in [-1, 1]."""
        mean, spread = self.encoder(pairs).chunk(2, dim=1)
        return mean, spread.clamp(-20, 10)

    def fit(self, latents: Tensor) -> None:
        """Take mean and deviation of each channel of latents (n, channels, h, w)."""
        self.mean.copy_(latents.mean(dim=(0, 2, 3))[:, None, None])
        self.deviation.copy_(latents.std(dim=(0, 2, 3))[:, None, None])

    def scale(self, latents: Tensor) -> Tensor:
        """Bring latents to mean 0 and deviation 1."""
        return (latents - self.mean) / self.deviation

    def draw(self, scaled: Tensor) -> Tensor:
        """Map scaled latents to pairs (n, 4, 8h, 8w) in [-1, 1]."""
        pairs: Tensor = self.decoder(scaled * self.deviation + self.mean)
        return pairs.clamp(-1, 1)


class PatchDiscriminator(nn.Module):
    """Realness of patches; its feature maps also tell how alike two images look."""

    def __init__(self) -> None:
        super().__init__()
        layers = []
        for inputs, outputs in zip((IMAGE_CHANNELS, *JUDGE_WIDTHS), JUDGE_WIDTHS, strict=False):
            conv = spectral_norm(nn.Conv2d(inputs, outputs, 4, stride=2, padding=1))
            layers.append(nn.Sequential(conv, nn.LeakyReLU(0.2)))
        self.layers = nn.ModuleList(layers)
        self.score = spectral_norm(nn.Conv2d(JUDGE_WIDTHS[-1], 1, 3, padding=1))

    def forward(self, pairs: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return scores (n, 1, h, w) and the feature maps of pairs (n, 4, 8h, 8w)."""
        maps = []
        for layer in self.layers:
            pairs = layer(pairs)
            maps.append(pairs)
        return self.score(pairs), maps


def sharpen(pairs: Tensor, amount: float) -> Tensor:
    """Give frames back some of the fine texture that the decoder smooths away; masks stay.

    Parameters
    ----------
    pairs : Tensor, shape (n, 4, height, width)
        Values in [-1, 1], the mask last.
    amount : float
        Weight of each neighbour that is subtracted along each axis; 0 changes nothing.

    Returns
    -------
    Tensor
        The same shape and range.
    """
    row = torch.tensor([-amount, 1 + 2 * amount, -amount], device=pairs.device)
    kernel = torch.outer(row, row).expand(3, 1, 3, 3)
    padded = functional.pad(pairs[:, :3], (1, 1, 1, 1), mode="replicate")
    frames = functional.conv2d(padded, kernel, groups=3).clamp(-1, 1)
    return torch.cat([frames, pairs[:, 3:]], dim=1)
