"""Latent diffusion for small grey images: an autoencoder, and a U-Net that denoises its latents.

Written from Rombach, Blattmann, Lorenz, Esser and Ommer, "High-Resolution Image Synthesis with
Latent Diffusion Models", CVPR 2022 (arXiv:2112.10752), and Mueller-Franzes et al., "A multimodal
comparison of latent denoising diffusion probabilistic models and generative adversarial networks
for medical image synthesis" (Medfusion), Scientific Reports 13, 12098 (2023): 8-fold compression,
T = 1,000 with a scaled linear schedule. Differences: far narrower networks, no pretrained
perceptual loss (the patch discriminator's own features take its place), the velocity is learnt
rather than the noise (see `UNet`), and sampling is DDIM without noise (Song, Meng and Ermon, ICLR
2021, arXiv:2010.02502, equation 12 with sigma 0), so that the latent vector alone fixes the
sample, with a gain on what noise is left (see `ddim`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

#: Side of an image over the side of its latents.
COMPRESSION = 8
#: Widths of the autoencoder at 1, 1/2, 1/4 and 1/8 of the side, and of the U-Net at 1/8, 1/16
#: and 1/32.
AUTOENCODER_WIDTHS = (16, 32, 64, 128)
UNET_WIDTHS = (64, 128, 160)
DROPOUT = 0.1
FIRST_LOG_VARIANCE = -6.0

STEPS = 1000
FIRST_BETA, LAST_BETA = 0.002, 0.02
#: Denoised latents of unit deviation are kept within this: guidance would carry them away.
BOUND = 4.0


def _norm(channels: int) -> nn.GroupNorm:
    # Two channels a group or more: on maps of one pixel, one channel would be one number.
    return nn.GroupNorm(math.gcd(8, channels // 2 or 1, channels), channels)


class Residual(nn.Module):
    """Two convolutions beside a direct path; an embedding scales and shifts between them."""

    def __init__(
        self, inputs: int, outputs: int, *, embedding: int = 0, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.first = nn.Sequential(
            _norm(inputs), nn.SiLU(), nn.Conv2d(inputs, outputs, 3, padding=1)
        )
        self.norm = _norm(outputs)
        self.second = nn.Sequential(
            nn.SiLU(), nn.Dropout(dropout), nn.Conv2d(outputs, outputs, 3, padding=1)
        )
        self.direct = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)
        self.modulate = nn.Linear(embedding, 2 * outputs) if embedding else None

    def forward(self, features: Tensor, embedding: Tensor | None = None) -> Tensor:
        """Map (n, inputs, h, w) to (n, outputs, h, w)."""
        hidden = self.norm(self.first(features))
        if self.modulate is not None and embedding is not None:
            scale, shift = self.modulate(embedding)[:, :, None, None].chunk(2, dim=1)
            hidden = hidden * (1 + scale) + shift
        summed: Tensor = self.direct(features) + self.second(hidden)
        return summed


class Attention(nn.Module):
    """Let every place of a small map look at all others."""

    def __init__(self, channels: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm = _norm(channels)
        self.mix = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Map (n, channels, h, w) to the same shape."""
        n, channels, height, width = features.shape
        parts = self.mix(self.norm(features)).reshape(n, 3, self.heads, -1, height * width)
        queries, keys, values = parts.transpose(3, 4).unbind(dim=1)
        seen = functional.scaled_dot_product_attention(queries, keys, values)
        mixed: Tensor = self.out(seen.transpose(2, 3).reshape(n, channels, height, width))
        return features + mixed


class Upsample(nn.Sequential):
    """Double the side: nearest neighbour, then a convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(inputs, outputs, 3, padding=1)
        )


class Encoder(nn.Sequential):
    """Images to mean and log-variance of their latents."""

    def __init__(self, channels: int, widths: Sequence[int] = AUTOENCODER_WIDTHS) -> None:
        # No layer at the full side: it would cost as much as all the others.
        _, half, quarter, eighth = widths
        super().__init__(
            nn.PixelUnshuffle(2),
            nn.Conv2d(4, half, 3, padding=1),
            Residual(half, half),
            nn.Conv2d(half, quarter, 3, stride=2, padding=1),
            Residual(quarter, quarter),
            nn.Conv2d(quarter, eighth, 3, stride=2, padding=1),
            Residual(eighth, eighth),
            _norm(eighth),
            nn.SiLU(),
            nn.Conv2d(eighth, 2 * channels, 1),
        )
        # A little noise at first: with that of a prior, nothing would be seen for many steps.
        nn.init.constant_(self[-1].bias[channels:], FIRST_LOG_VARIANCE)


class Decoder(nn.Sequential):
    """Latents to images."""

    def __init__(self, channels: int, widths: Sequence[int] = AUTOENCODER_WIDTHS) -> None:
        whole, half, quarter, eighth = widths
        super().__init__(
            nn.Conv2d(channels, eighth, 3, padding=1),
            Residual(eighth, eighth),
            Residual(eighth, eighth),
            Upsample(eighth, quarter),
            Residual(quarter, quarter),
            Upsample(quarter, half),
            Residual(half, half),
            Upsample(half, whole),
            Residual(whole, whole),
            _norm(whole),
            nn.SiLU(),
            nn.Conv2d(whole, 1, 3, padding=1),
        )


class Autoencoder(nn.Module):
    """A variational autoencoder of grey images with 8-fold compression along each axis.

    Parameters
    ----------
    channels : int
        Channels of the latents.
    widths : sequence of int
        Channels of the feature maps at 1, 1/2, 1/4 and 1/8 of the side.
    """

    def __init__(self, channels: int, widths: Sequence[int] = AUTOENCODER_WIDTHS) -> None:
        super().__init__()
        self.encoder = Encoder(channels, widths)
        self.decoder = Decoder(channels, widths)

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance (n, channels, h, w) of images (n, 1, 8h, 8w)."""
        mean, spread = self.encoder(images).chunk(2, dim=1)
        return mean, spread.clamp(-20, 10)


class Discriminator(nn.Module):
    """Realness of patches; its feature maps also tell how alike two images look."""

    def __init__(self, widths: Sequence[int] = (24, 48, 96)) -> None:
        super().__init__()
        layers = []
        for inputs, outputs in zip((1, *widths), widths, strict=False):
            conv = spectral_norm(nn.Conv2d(inputs, outputs, 4, stride=2, padding=1))
            layers.append(nn.Sequential(conv, nn.LeakyReLU(0.2)))
        self.layers = nn.ModuleList(layers)
        self.score = spectral_norm(nn.Conv2d(widths[-1], 1, 3, padding=1))

    def forward(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return scores (n, 1, h, w) and the feature maps of images (n, 1, 8h, 8w)."""
        maps = []
        for layer in self.layers:
            images = layer(images)
            maps.append(images)
        return self.score(images), maps


class Classes(nn.Module):
    """Embeddings of a sample's conditions; number -1 means unknown, or left out.

    Parameters
    ----------
    counts : sequence of int
        How many values each condition has.
    size : int
        Length of the embedding.
    """

    def __init__(self, counts: Sequence[int], size: int) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(count + 1, size) for count in counts)
        self.size = size

    def forward(self, conditions: Tensor) -> Tensor:
        """Map numbers of shape (n, conditions) to embeddings of shape (n, size)."""
        summed = torch.zeros(len(conditions), self.size, device=conditions.device)
        for column, table in enumerate(self.tables):
            summed = summed + table(conditions[:, column] + 1)
        return summed


class UNet(nn.Module):
    """What a step of denoising needs to know, given the time and an embedding of the conditions.

    The output is the velocity ``sqrt(s) noise - sqrt(1 - s) latents`` of Salimans and Ho (ICLR
    2022, arXiv:2202.00512), s being the share of signal. Noise itself would be the wrong thing to
    ask for at early times: its smallest error there is a hundred times larger in the latents.
    """

    def __init__(self, channels: int, widths: Sequence[int] = UNET_WIDTHS) -> None:
        super().__init__()
        fine, middle, coarse = widths
        self.embedding = 4 * fine
        self.time = nn.Sequential(
            nn.Linear(fine, self.embedding), nn.SiLU(), nn.Linear(self.embedding, self.embedding)
        )
        self.entry = nn.Conv2d(channels, fine, 3, padding=1)
        self.down_fine = self._block(fine, fine)
        self.to_middle = nn.Conv2d(fine, middle, 3, stride=2, padding=1)
        self.down_middle = self._block(middle, middle)
        self.look_down = Attention(middle)
        self.to_coarse = nn.Conv2d(middle, coarse, 3, stride=2, padding=1)
        self.coarse = nn.ModuleList([self._block(coarse, coarse), self._block(coarse, coarse)])
        self.look_coarse = Attention(coarse)
        self.from_coarse = Upsample(coarse, middle)
        self.up_middle = self._block(2 * middle, middle)
        self.look_up = Attention(middle)
        self.from_middle = Upsample(middle, fine)
        self.up_fine = nn.ModuleList([self._block(2 * fine, fine), self._block(2 * fine, fine)])
        self.out = nn.Sequential(_norm(fine), nn.SiLU(), nn.Conv2d(fine, channels, 3, padding=1))
        nn.init.zeros_(self.out[-1].weight)
        nn.init.zeros_(self.out[-1].bias)

    def _block(self, inputs: int, outputs: int) -> Residual:
        return Residual(inputs, outputs, embedding=self.embedding, dropout=DROPOUT)

    def forward(self, latents: Tensor, times: Tensor, classes: Tensor) -> Tensor:
        """Return the velocity of latents (n, channels, h, w) at times (n,) of 0 to 999."""
        known = functional.silu(self.time(_waves(times, self.time[0].in_features)) + classes)
        entry = self.entry(latents)
        fine = self.down_fine(entry, known)
        middle = self.look_down(self.down_middle(self.to_middle(fine), known))
        coarse = self.coarse[0](self.to_coarse(middle), known)
        coarse = self.coarse[1](self.look_coarse(coarse), known)
        middle = torch.cat([self.from_coarse(coarse), middle], dim=1)
        middle = self.look_up(self.up_middle(middle, known))
        up = self.up_fine[0](torch.cat([self.from_middle(middle), fine], dim=1), known)
        velocity: Tensor = self.out(self.up_fine[1](torch.cat([up, entry], dim=1), known))
        return velocity


def _waves(times: Tensor, size: int) -> Tensor:
    """Return sines and cosines of the times, as of the places in a sentence."""
    rates = torch.exp(torch.arange(size // 2, device=times.device) * (-math.log(1e4) * 2 / size))
    angles = times[:, None].float() * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class LatentDiffusion(nn.Module):
    """All that makes images from noise, and the encoder to go on training.

    Parameters
    ----------
    channels : int
        Channels of the latents.
    counts : sequence of int
        How many values each condition has; none for a model without conditions.
    autoencoder_widths, unet_widths : sequence of int
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        channels: int,
        counts: Sequence[int],
        autoencoder_widths: Sequence[int] = AUTOENCODER_WIDTHS,
        unet_widths: Sequence[int] = UNET_WIDTHS,
    ) -> None:
        super().__init__()
        self.autoencoder = Autoencoder(channels, autoencoder_widths)
        self.unet = UNet(channels, unet_widths)
        self.classes = Classes(counts, self.unet.embedding)
        # Of the autoencoder's latents, to bring them to mean 0 and deviation 1 and back.
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("deviation", torch.ones(channels, 1, 1))

    def forward(self, latents: Tensor, times: Tensor, conditions: Tensor) -> Tensor:
        """Return the velocity of scaled latents (n, channels, h, w)."""
        velocity: Tensor = self.unet(latents, times, self.classes(conditions))
        return velocity

    @torch.inference_mode()
    def draw(
        self,
        noise: Tensor,
        conditions: Tensor,
        *,
        steps: int,
        guidance: float = 1.0,
        noise_gain: float = 1.0,
    ) -> Tensor:
        """Return images (n, 1, 8h, 8w) in [-1, 1] of noise (n, channels, h, w).

        Parameters
        ----------
        noise : Tensor
            Standard normal values.
        conditions : Tensor of int64, shape (n, conditions)
            -1 where one is not asked for.
        steps : int
            Of the way from noise to image, 1 to 1,000.
        guidance : float
            How far to go from what the model sees without conditions to what it sees with them
            (Ho and Salimans, arXiv:2207.12598): 0 leaves them out, 1 takes them as learnt.
        noise_gain : float
            As of `ddim`.
        """
        plain = guidance == 1 or not self.classes.tables
        asked = conditions if plain else torch.cat([conditions, torch.full_like(conditions, -1)])
        embedded = self.classes(asked)

        def predict(latents: Tensor, time: int) -> Tensor:
            copies = latents if plain else latents.repeat(2, 1, 1, 1)
            times = torch.full((len(copies),), time, device=copies.device)
            found: Tensor = self.unet(copies, times, embedded)
            if plain:
                return found
            informed, free = found.chunk(2)
            return free + guidance * (informed - free)

        latents = ddim(predict, noise, steps=steps, noise_gain=noise_gain)
        images: Tensor = self.autoencoder.decoder(latents * self.deviation + self.mean)
        return images.clamp(-1, 1)


def kept_signal() -> Tensor:
    """Return the share of variance that is signal at each of the times 0 to 999, float64."""
    roots = torch.linspace(FIRST_BETA**0.5, LAST_BETA**0.5, STEPS, dtype=torch.float64)
    return (1 - roots.square()).cumprod(dim=0)


def ddim(
    predict: Callable[[Tensor, int], Tensor],
    noise: Tensor,
    *,
    steps: int,
    noise_gain: float = 1.0,
) -> Tensor:
    """Go from noise to latents, adding no noise on the way.

    Strides of time become shorter towards the end, where small structures are made (appendix D.3
    of the DDIM paper, quadratic).

    A network that takes away a little more noise than there is leaves samples without texture.
    Against that, what noise is left after each step can be made larger: Karras et al. do so with
    the noise that they add on the way (arXiv:2206.00364, section 4, S_noise), Ning et al. by
    making the predicted noise smaller (arXiv:2308.15321, epsilon scaling).

    Parameters
    ----------
    predict : callable
        Returns the velocity of latents at a time.
    noise : Tensor, shape (n, channels, h, w)
        Standard normal values.
    steps : int
        1 to 1,000.
    noise_gain : float
        What the factors of all steps on the noise that is left multiply to, so that it means
        about the same whatever the steps; 1 is plain DDIM.
    """
    signal = kept_signal().tolist()
    gain = noise_gain ** (1 / steps)
    # No time comes twice.
    times = [max(round(STEPS * ((i + 1) / steps) ** 2) - 1, i) for i in reversed(range(steps))]
    latents = noise
    for time, next_time in zip(times, [*times[1:], -1], strict=True):
        now, then = signal[time], signal[next_time] if next_time >= 0 else 1.0
        clean = now**0.5 * latents - (1 - now) ** 0.5 * predict(latents, time)
        clean = clean.clamp(-BOUND, BOUND)
        left = (latents - now**0.5 * clean) / (1 - now) ** 0.5
        latents = then**0.5 * clean + (1 - then) ** 0.5 * gain * left
    return latents
