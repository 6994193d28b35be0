"""What the GAN sees and draws: images themselves, or the latents of an autoencoder.

The autoencoder is that of the latent diffusion model ``latent_ddpm_chest_xray`` (after Rombach et
al., "High-Resolution Image Synthesis with Latent Diffusion Models", CVPR 2022, arXiv:2112.10752),
with the same names of weights. It is trained there.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional

#: Side of an image over the side of its latents.
COMPRESSION = 8
#: Feature maps at 1, 1/2, 1/4 and 1/8 of the side.
WIDTHS = (16, 32, 64, 128)


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(8, channels // 2 or 1, channels), channels)


class Residual(nn.Module):
    """Two convolutions beside a direct path."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Sequential(
            _norm(channels), nn.SiLU(), nn.Conv2d(channels, channels, 3, padding=1)
        )
        self.norm = _norm(channels)
        # The second place is that of a dropout in the diffusion model, which counts in the names.
        self.second = nn.Sequential(
            nn.SiLU(), nn.Identity(), nn.Conv2d(channels, channels, 3, padding=1)
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Map (n, channels, h, w) to the same shape."""
        summed: Tensor = maps + self.second(self.norm(self.first(maps)))
        return summed


class Upsample(nn.Sequential):
    """Double the side: nearest neighbour, then a convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(inputs, outputs, 3, padding=1)
        )


class Encoder(nn.Sequential):
    """Images to mean and log-variance of their latents."""

    def __init__(self, channels: int) -> None:
        _, half, quarter, eighth = WIDTHS
        super().__init__(
            nn.PixelUnshuffle(2),
            nn.Conv2d(4, half, 3, padding=1),
            Residual(half),
            nn.Conv2d(half, quarter, 3, stride=2, padding=1),
            Residual(quarter),
            nn.Conv2d(quarter, eighth, 3, stride=2, padding=1),
            Residual(eighth),
            _norm(eighth),
            nn.SiLU(),
            nn.Conv2d(eighth, 2 * channels, 1),
        )


class Decoder(nn.Sequential):
    """Latents to images."""

    def __init__(self, channels: int) -> None:
        whole, half, quarter, eighth = WIDTHS
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
            nn.Conv2d(whole, 1, 3, padding=1),
        )


class Autoencoder(nn.Module):
    """Grey images to latents of ``channels`` channels and an eighth of the side, and back."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.encoder = Encoder(channels)
        self.decoder = Decoder(channels)


class Pixels(nn.Module):
    """The GAN sees and draws images, with the mask as one more channel where there are masks."""

    #: Side of an image over that of what is seen.
    compression = 1

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def decode(self, seen: Tensor) -> Tensor:
        """Return images in [-1, 1]."""
        return seen


class Latents(nn.Module):
    """The GAN sees and draws latents, brought to mean 0 and deviation 1 in each channel."""

    compression = COMPRESSION
    mean: Tensor
    deviation: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.autoencoder = Autoencoder(channels).requires_grad_(requires_grad=False).eval()
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("deviation", torch.ones(channels, 1, 1))

    def fit(self, images: Tensor) -> None:
        """Take mean and deviation of the latents of images."""
        latents = self.encode(images)
        self.mean.copy_(latents.mean(dim=(0, 2, 3))[:, None, None])
        self.deviation.copy_(latents.std(dim=(0, 2, 3))[:, None, None])

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Map images (n, 1, 8h, 8w) in [-1, 1] to latents (n, channels, h, w)."""
        parts = [self.autoencoder.encoder(part).chunk(2, dim=1)[0] for part in images.split(16)]
        return (torch.cat(parts) - self.mean) / self.deviation

    def decode(self, seen: Tensor) -> Tensor:
        """Map latents (n, channels, h, w) to images (n, 1, 8h, 8w) in [-1, 1]."""
        images: Tensor = self.autoencoder.decoder(seen * self.deviation + self.mean)
        return images.clamp(-1, 1)


def sharpen(images: Tensor, amount: float) -> Tensor:
    """Give images back some of the fine texture that is lost on the way; masks stay.

    Parameters
    ----------
    images : Tensor, shape (n, 1 or 2, height, width)
        Values in [-1, 1], a mask last.
    amount : float
        Weight of each neighbour that is subtracted along each axis; 0 changes nothing.

    Returns
    -------
    Tensor
        The same shape and range.
    """
    row = torch.tensor([-amount, 1 + 2 * amount, -amount], device=images.device)
    padded = functional.pad(images[:, :1], (1, 1, 1, 1), mode="replicate")
    sharp = functional.conv2d(padded, torch.outer(row, row)[None, None]).clamp(-1, 1)
    return torch.cat([sharp, images[:, 1:]], dim=1)


def read_autoencoder(path: Path) -> Latents:
    """Read an autoencoder from weights of the latent diffusion model, or of its first phase.

    Raises
    ------
    OSError, SafetensorError, KeyError, RuntimeError
        If the file is none of these.
    """
    with safe_open(path, framework="pt") as file:
        tensors = {name.removeprefix("autoencoder."): name for name in file.keys()}  # noqa: SIM118
        kept = {
            short: file.get_tensor(name)
            for short, name in tensors.items()
            if short.startswith(("encoder.", "decoder."))
        }
    if "decoder.0.weight" not in kept:
        raise SafetensorError("no decoder")
    seen = Latents(kept["decoder.0.weight"].shape[1])
    seen.autoencoder.load_state_dict(kept)
    return seen
