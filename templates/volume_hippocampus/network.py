"""A small latent diffusion model of volumes: image, label map and the box that holds data.

An autoencoder turns a volume into a map of ``(side / 8) ** 3`` vectors, a denoiser learns how
such maps are distributed, and the decoder turns new ones into volumes. After Rombach, Blattmann,
Lorenz, Esser and Ommer, "High-Resolution Image Synthesis with Latent Diffusion Models", CVPR 2022
(arXiv:2112.10752), written from the paper. The difference: with few volumes the denoiser does not
begin from nothing. It adds a network to the denoiser that would be exact if the maps were
Gaussian (Wang and Vastola, "The Unreasonable Effectiveness of Gaussian Score Approximation for
Diffusion Models and its Applications", TMLR 2024, arXiv:2412.09726), so that what is left to learn
is where they are not. And the decoder gives each voxel's expected value and its spread; a texture
with the spectrum of what is left over in real volumes fills the spread.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

#: Background and the two parts of the hippocampus.
LABELS = 3
#: How often the latent map is smaller than the volume along each axis.
COMPRESSION = 8
#: Steps of the noise that is added in training.
NOISE_STEPS = 1_000
#: Main directions of the Gaussian that the denoiser begins with.
DIRECTIONS = 200
#: Image, box, and each label but the background.
INPUTS = 2 + LABELS - 1
#: Image, logarithm of its spread, box and every label.
OUTPUTS = 3 + LABELS
#: Values of a latent vector that decide on the texture.
TEXTURE_VALUES = 32
#: How fast the texture changes with them: at 0.5, that of two independent vectors shares nothing.
TEXTURE_RATE = 0.5


def to_blocks(volumes: Tensor) -> Tensor:
    """Move each 2 x 2 x 2 block into channels: (n, c, 2x, 2y, 2z) to (n, 8c, x, y, z)."""
    n, c, x, y, z = volumes.shape
    blocks = volumes.reshape(n, c, x // 2, 2, y // 2, 2, z // 2, 2)
    return blocks.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(n, c * 8, x // 2, y // 2, z // 2)


def from_blocks(blocks: Tensor) -> Tensor:
    """Undo `to_blocks`.

    Examples
    --------
    >>> volumes = torch.arange(64.0).reshape(1, 1, 4, 4, 4)
    >>> bool((from_blocks(to_blocks(volumes)) == volumes).all())
    True
    """
    n, c, x, y, z = blocks.shape
    volumes = blocks.reshape(n, c // 8, 2, 2, 2, x, y, z)
    return volumes.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(n, c // 8, x * 2, y * 2, z * 2)


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Conv3d:
    return nn.Conv3d(inputs, outputs, 3, stride, padding=1)


class Residual(nn.Module):
    """Two convolutions beside an identity; ``time`` features, where there are any, scale and shift.

    Parameters
    ----------
    channels : int
    time : int
        Number of features of the time step; 0 for none.
    """

    def __init__(self, channels: int, time: int = 0) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.GroupNorm(8, channels), nn.SiLU(), _conv(channels, channels))
        self.norm = nn.GroupNorm(8, channels)
        self.second = nn.Sequential(nn.SiLU(), _conv(channels, channels))
        self.modulate = nn.Linear(time, 2 * channels) if time else None

    def forward(self, features: Tensor, time: Tensor | None = None) -> Tensor:
        """Return features of the same shape."""
        inner = self.norm(self.first(features))
        if self.modulate is not None:
            scale, shift = self.modulate(time)[:, :, None, None, None].chunk(2, dim=1)
            inner = inner * (1 + scale) + shift
        changed: Tensor = features + self.second(inner)
        return changed


class Up(nn.Sequential):
    """Double the resolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(nn.Upsample(scale_factor=2, mode="nearest"), _conv(inputs, outputs))


class Decoded(NamedTuple):
    """What the decoder says of volumes.

    Attributes
    ----------
    image : Tensor, shape (n, 1, x, y, z)
        Expected value, in [-1, 1].
    spread : Tensor, shape (n, 1, x, y, z)
        Logarithm of the deviation from it.
    box : Tensor, shape (n, 1, x, y, z)
        Logit of being inside the box.
    labels : Tensor, shape (n, 3, x, y, z)
        Logits.
    """

    image: Tensor
    spread: Tensor
    box: Tensor
    labels: Tensor


class Autoencoder(nn.Module):
    """Volumes to latent maps and back.

    Parameters
    ----------
    widths : sequence of three int
        Channels at a half, a quarter and an eighth of the resolution; multiples of 8.
    channels : int
        Channels of the latent map.
    """

    def __init__(self, widths: Sequence[int] = (48, 64, 96), channels: int = 8) -> None:
        super().__init__()
        fine, middle, coarse = widths
        self.widths, self.channels = tuple(widths), channels
        self.encoder = nn.Sequential(
            _conv(INPUTS * 8, fine),
            nn.SiLU(),
            _conv(fine, middle, stride=2),
            Residual(middle),
            _conv(middle, coarse, stride=2),
            Residual(coarse),
            nn.GroupNorm(8, coarse),
            nn.SiLU(),
            _conv(coarse, 2 * channels),
        )
        self.decoder = nn.Sequential(
            _conv(channels, coarse),
            Residual(coarse),
            Residual(coarse),
            Up(coarse, middle),
            Residual(middle),
            Up(middle, fine),
            Residual(fine),
            nn.GroupNorm(8, fine),
            nn.SiLU(),
            _conv(fine, OUTPUTS * 8),
        )
        with torch.no_grad():
            # The eight voxels of a block begin as one: no chequered pattern to be unlearnt.
            for values in (self.decoder[-1].weight, self.decoder[-1].bias):
                values.copy_(values[::8].repeat_interleave(8, dim=0))

    def encode(self, image: Tensor, box: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of the latent maps.

        Parameters
        ----------
        image : Tensor, shape (n, 1, x, y, z)
            Values in [-1, 1], 0 outside the box.
        box : Tensor, shape (n, 1, x, y, z)
            1 where there are data.
        label : Tensor of int, shape (n, x, y, z)
        """
        parts = functional.one_hot(label.long(), LABELS)[..., 1:].movedim(-1, 1)
        stacked = torch.cat([image, box, parts.to(image.dtype)], dim=1)
        mean, log_variance = self.encoder(to_blocks(stacked)).float().chunk(2, dim=1)
        return mean, log_variance.clamp(-12, 4)

    def decode(self, latents: Tensor) -> Decoded:
        """Turn latent maps into what is to be expected of volumes."""
        decoded = from_blocks(self.decoder(latents)).float()
        image, spread, box, labels = decoded.split([1, 1, 1, LABELS], dim=1)
        return Decoded(image, spread.clamp(-6, 1), box, labels)


class Texture(nn.Module):
    """Fields of deviation 1 with a given spectrum, as continuous functions of latent vectors.

    Before it is filtered, each voxel is ``sqrt(2) cos(w . z + b)`` with its own fixed random w and
    b, as in random Fourier features (Rahimi and Recht, NIPS 2007): no correlation between two
    voxels, and ``exp(-|TEXTURE_RATE (z1 - z2)|^2 / 2)`` between two latent vectors.

    Parameters
    ----------
    shape : sequence of three int
    """

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(shape)
        x, y, z = shape
        self.register_buffer("amplitude", torch.ones(x, y, z // 2 + 1))
        self.register_buffer("strength", torch.ones(1))
        random = np.random.Generator(np.random.PCG64(0))
        waves = random.standard_normal((TEXTURE_VALUES, x * y * z), dtype=np.float32)
        phases = random.random(x * y * z, dtype=np.float32)
        self.register_buffer("waves", torch.from_numpy(waves * TEXTURE_RATE), persistent=False)
        self.register_buffer("phases", torch.from_numpy(phases * 2 * np.pi), persistent=False)

    @torch.no_grad()
    def fit(self, fields: Tensor, box: Tensor) -> None:
        """Take the spectrum from fields (n, 1, x, y, z) of deviation 1 inside a box."""
        power = torch.fft.rfftn(fields[:, 0], dim=(1, 2, 3)).abs().square()
        mean = (power / box.sum(dim=(1, 2, 3, 4))[:, None, None, None]).mean(dim=0)
        self.amplitude.copy_(mean.sqrt())

    def forward(self, latents: Tensor) -> Tensor:
        """Return fields (n, 1, x, y, z) of latent vectors (n, size)."""
        with torch.autocast(latents.device.type, enabled=False):
            angles = latents[:, :TEXTURE_VALUES].float() @ self.waves + self.phases
        white = (angles.cos() * math.sqrt(2)).reshape(-1, *self.shape)
        spectrum = torch.fft.rfftn(white, dim=(1, 2, 3)) * self.amplitude
        return torch.fft.irfftn(spectrum, s=self.shape, dim=(1, 2, 3))[:, None]


def noise_levels(steps: Tensor) -> tuple[Tensor, Tensor]:
    """Return the shares of signal and noise, alpha and sigma, at steps from 0 to 999.

    The cosine schedule of Nichol and Dhariwal, "Improved Denoising Diffusion Probabilistic
    Models", ICML 2021, equation 17; the squares of the two add up to one.
    """
    angle = ((steps + 1) / NOISE_STEPS + 0.008) / 1.008 * math.pi / 2
    alpha = torch.cos(angle).clamp(min=1e-3)
    return alpha, (1 - alpha.square()).sqrt()


class Denoiser(nn.Module):
    """Tell noise and latent map apart: a Gaussian's answer plus what a network adds to it.

    Parameters
    ----------
    channels : int
        Channels of the latent map.
    shape : sequence of three int
        Size of the latent map, even along each axis.
    width : int
        Channels of the network, a multiple of 8.
    """

    def __init__(self, channels: int, shape: Sequence[int], *, width: int = 96) -> None:
        super().__init__()
        size = channels * math.prod(shape)
        self.width, self.shape, self.map_shape = width, tuple(shape), (channels, *shape)
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("directions", torch.zeros(DIRECTIONS, size))
        self.register_buffer("variances", torch.zeros(DIRECTIONS))
        self.register_buffer("rest", torch.ones(1))
        self.time = nn.Sequential(nn.Linear(64, width), nn.SiLU(), nn.Linear(width, width))
        self.places = nn.Parameter(torch.zeros(1, width, *shape))
        self.entry = _conv(channels, width)
        self.before = Residual(width, width)
        self.down = _conv(width, width, stride=2)
        self.low = nn.ModuleList([Residual(width, width), Residual(width, width)])
        self.up = Up(width, width)
        self.merge = nn.Conv3d(2 * width, width, 1)
        self.after = Residual(width, width)
        self.exit = nn.Sequential(nn.GroupNorm(8, width), nn.SiLU(), _conv(width, channels))
        nn.init.zeros_(self.exit[-1].weight)
        nn.init.zeros_(self.exit[-1].bias)

    @torch.no_grad()
    def fit_gaussian(self, maps: Tensor, rest: float) -> None:
        """Take mean and main directions from maps of shape (n, channels, x, y, z).

        Parameters
        ----------
        maps : Tensor
        rest : float
            Variance along every direction that the maps do not show.
        """
        rows = maps.flatten(1).double()
        mean = rows.mean(dim=0)
        _, lengths, directions = torch.linalg.svd(rows - mean, full_matrices=False)
        count = min(len(self.variances), len(lengths))
        variances = lengths.square() / max(len(rows) - 1, 1)
        left = variances[count:].sum() / max(rows.shape[1] - count, 1)
        self.mean.copy_(mean)
        self.directions.zero_()
        self.variances.zero_()
        self.directions[:count] = directions[:count].to(self.directions)
        self.variances[:count] = variances[:count].to(self.variances)
        self.rest.fill_(rest + float(left))

    def gaussian_clean(self, noisy: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """Return the expected clean maps if they were Gaussian; alpha and sigma are (n, 1)."""
        offset = noisy.flatten(1) - alpha * self.mean
        along = _share(self.variances + self.rest, alpha, sigma)
        around = _share(self.rest, alpha, sigma)
        weights = (offset @ self.directions.T) * (along - around)
        clean = self.mean + offset * around + weights @ self.directions
        return clean.reshape(noisy.shape)

    def forward(self, noisy: Tensor, steps: Tensor) -> Tensor:
        """Return the velocity in maps (n, channels, x, y, z) at steps (n,) from 0 to 999.

        The velocity is ``alpha * noise - sigma * clean``: Salimans and Ho, "Progressive
        Distillation for Fast Sampling of Diffusion Models", ICLR 2022, appendix D. Errors in it
        do no harm at any level of noise, while those in the noise grow by 1 / alpha.
        """
        alpha, sigma = noise_levels(steps.float()[:, None])
        with torch.autocast(noisy.device.type, enabled=False):
            clean = self.gaussian_clean(noisy.float(), alpha, sigma).flatten(1)
            simple = ((alpha * noisy.flatten(1) - clean) / sigma).reshape(noisy.shape)
        time = self.time(_waves(steps))
        fine = self.before(self.entry(noisy) + self.places, time)
        coarse = self.down(fine)
        for block in self.low:
            coarse = block(coarse, time)
        merged = self.after(self.merge(torch.cat([fine, self.up(coarse)], dim=1)), time)
        return simple + self.exit(merged).float()


def _share(variance: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """Return how much of an offset from the mean is kept, by Wiener."""
    return alpha * variance / (alpha.square() * variance + sigma.square())


def _places(steps: int) -> Tensor:
    """Return places from 999 to 0 at which the logarithm of signal to noise grows evenly."""
    if steps == 1:
        return torch.tensor([NOISE_STEPS - 1.0])
    every = torch.linspace(NOISE_STEPS - 1, 0, 20_000, dtype=torch.float64)
    alpha, sigma = noise_levels(every)
    growth = (alpha / sigma).log()
    wanted = torch.linspace(float(growth[0]), float(growth[-1]), steps, dtype=torch.float64)
    return every[torch.searchsorted(growth, wanted).clamp(max=len(every) - 1)].float()


def _waves(steps: Tensor) -> Tensor:
    """Return 32 sines and cosines of each step."""
    rates = torch.exp(-math.log(10_000) * torch.arange(32, device=steps.device) / 32)
    angles = steps.float()[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class VolumeModel(nn.Module):
    """All that drawing a volume needs: autoencoder, texture, denoiser, and the scale between them.

    Parameters
    ----------
    shape : sequence of three int
        Size of a volume in voxels, multiples of 16.
    widths, channels
        As in `Autoencoder`.
    width : int
        As in `Denoiser`.
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        widths: Sequence[int] = (48, 64, 96),
        channels: int = 8,
        width: int = 96,
    ) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.autoencoder = Autoencoder(widths, channels)
        self.texture = Texture(shape)
        self.denoiser = Denoiser(channels, [side // COMPRESSION for side in shape], width=width)
        self.register_buffer("centre", torch.zeros(1, channels, 1, 1, 1))
        self.register_buffer("scale", torch.ones(1, channels, 1, 1, 1))

    @property
    def latent_size(self) -> int:
        """Number of values of a latent vector."""
        return math.prod(self.denoiser.map_shape)

    def denoise(self, noise: Tensor, steps: int) -> Tensor:
        """Turn noise (n, latent_size) into latent maps, deterministically.

        The second-order form of DDIM, with steps of equal size in the logarithm of signal to
        noise. In evenly spaced steps of the first order, the directions in which volumes differ
        most would come out with a tenth less deviation even after 50 steps.

        References
        ----------
        Song, Meng and Ermon, "Denoising Diffusion Implicit Models", ICLR 2021, equation 12 with
        sigma 0; Lu, Zhou, Bao, Chen, Li and Zhu, "DPM-Solver++: Fast Solver for Guided Sampling
        of Diffusion Probabilistic Models", arXiv:2211.01095, algorithm 2.
        """
        maps = noise.reshape(-1, *self.denoiser.map_shape)
        places = _places(steps).to(noise.device)
        alphas, sigmas = noise_levels(places)
        gains = (alphas / sigmas).log().diff()
        previous = None
        for i, (place, alpha, sigma) in enumerate(zip(places, alphas, sigmas, strict=True)):
            velocity = self.denoiser(maps, place.expand(len(maps)))
            clean = alpha * maps - sigma * velocity
            if i + 1 == steps:
                break
            ahead = clean
            # Of very many steps the first may gain nothing: the share of signal is clamped there.
            if previous is not None and gains[i - 1] > 0:
                ahead = clean + (clean - previous) * gains[i] / (2 * gains[i - 1])
            kept = sigmas[i + 1] / sigma
            maps = kept * maps + (alphas[i + 1] - kept * alpha) * ahead
            previous = clean
        return clean * self.scale + self.centre

    def decode(self, maps: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Turn latent maps into images in [0, 1], 0 outside their box, and label maps.

        Parameters
        ----------
        maps : Tensor, shape (n, channels, x / 8, y / 8, z / 8)
        noise : Tensor, shape (n, latent_size)
            Latent vectors that decide on the texture.

        Returns
        -------
        Tensor of float32, shape (n, 1, x, y, z)
        Tensor of uint8, shape (n, 1, x, y, z)
        """
        found = self.autoencoder.decode(maps)
        inside = find_box(found.box)
        texture = self.texture.strength * self.texture(noise) * found.spread.exp()
        grey = ((found.image + texture + 1) / 2).clamp(0, 1) * inside
        labels = found.labels.argmax(dim=1, keepdim=True) * inside
        return grey, labels.to(torch.uint8)


def find_box(logits: Tensor) -> Tensor:
    """Return the axis-parallel box that logits (n, 1, x, y, z) describe, 0 and 1.

    Along each axis it reaches from the first to the last plane whose middle half is inside on
    the whole.

    Examples
    --------
    >>> logits = torch.full((1, 1, 16, 16, 16), -5.0)
    >>> logits[..., 2:14, 3:12, 4:13] = 5
    >>> int(find_box(logits).sum()) == 12 * 9 * 9
    True
    """
    chance = torch.sigmoid(logits)
    middle = [slice(side // 4, side - side // 4) for side in chance.shape[2:]]
    inside = torch.ones_like(chance)
    for axis in range(3):
        cut = [slice(None), slice(None), *middle]
        cut[2 + axis] = slice(None)
        others = [a for a in (2, 3, 4) if a != 2 + axis]
        planes = chance[tuple(cut)].mean(dim=others, keepdim=True) > 0.5
        # From the first to the last plane, whatever lies between.
        reached = planes.cummax(dim=2 + axis).values
        reached = reached & planes.flip(2 + axis).cummax(dim=2 + axis).values.flip(2 + axis)
        inside = inside * reached
    return inside
