"""The two phases of the training: the autoencoder, then the diffusion of its latents."""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from network import (
    STEPS,
    Autoencoder,
    Discriminator,
    LatentDiffusion,
    kept_signal,
)
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional

from medmint.errors import TrainingError
from medmint.metrics.distances import frechet_distance
from medmint.metrics.features import SeededConvolution, standardise
from medmint.metrics.similarity import ms_ssim, psnr
from medmint.model_trainer import (
    Average,
    TrainingImages,
    autocast,
    random_numbers,
    start_from,
)
from medmint.model_trainer.run import WEIGHTS
from medmint.sheets import contact_sheet, write_picture

RATE = 4e-4
AVERAGING = 0.998
KL_WEIGHT = 1e-6
#: Length of the gradient of the discriminator's losses over that of the pixel losses.
TEXTURE_SHARE = 0.7
#: Share of samples whose conditions are left out, so that guidance can be asked for.
LEFT_OUT = 0.1
#: Changed copies of each training image whose latents are learnt.
VARIANTS = 6
REACH, ZOOM, BRIGHTNESS, CONTRAST = 6, 0.05, 0.06, 0.08
#: Steps of samples that are looked at on the way, and of those that the noise gain is chosen by.
SAMPLING_STEPS, FINAL_STEPS = 25, 50
NOISE_GAINS = (1.0, 1.2, 1.35, 1.5, 1.65, 1.8, 2.0)


def to_pixels(images: np.ndarray) -> Tensor:
    """Bring uint8 images (n, side, side, 1) to (n, 1, side, side) in [-1, 1]."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_bytes(pixels: Tensor) -> np.ndarray:
    """Bring (n, 1, side, side) in [-1, 1] to uint8 of shape (n, side, side)."""
    return ((pixels[:, 0].float() + 1) * 127.5).round().clamp(0, 255).byte().cpu().numpy()


def vary(images: Tensor, random: torch.Generator, *, zoom: float = 0.0) -> Tensor:
    """Shift by whole pixels, zoom, and change brightness and contrast a little; never mirrored.

    Without zoom no pixel is interpolated, so that texture stays as sharp as it was.
    """
    count, side = len(images), images.shape[-1]
    shifts = torch.randint(-REACH, REACH + 1, (count, 2), generator=random) * 2 / side
    scale = 1 + zoom * (2 * torch.rand(count, generator=random) - 1)
    maps = torch.zeros(count, 2, 3)
    maps[:, 0, 0] = maps[:, 1, 1] = scale
    maps[:, :, 2] = shifts
    grid = functional.affine_grid(maps, list(images.shape), align_corners=False)
    moved = functional.grid_sample(
        images, grid, mode="bicubic", padding_mode="border", align_corners=False
    )
    brightness, contrast = (2 * torch.rand(2, count, 1, 1, 1, generator=random) - 1).unbind()
    changed = moved * (1 + CONTRAST * contrast) + BRIGHTNESS * brightness
    return changed.clamp(-1, 1)


class AutoencoderTrainee:
    """First phase: images to latents and back, with the texture that a discriminator misses."""

    def __init__(
        self, images: np.ndarray, val: np.ndarray, options: argparse.Namespace, device: torch.device
    ) -> None:
        self.options, self.device = options, device
        self.images, self.val = to_pixels(images), val
        self.extract = SeededConvolution()
        self.val_features = self.extract(val[..., 0])
        place = {"device": device, "memory_format": torch.channels_last}
        self.network = Autoencoder(options.channels, options.autoencoder_widths).to(**place)
        if options.init is not None:
            start_from(options.init, self.network, "autoencoder.")
        self.discriminator = Discriminator().to(**place)
        self.average = Average(self.network, AVERAGING)
        self.optimiser = torch.optim.Adam(self.network.parameters(), RATE, (0.5, 0.99))
        self.judge = torch.optim.Adam(self.discriminator.parameters(), RATE, (0.5, 0.99))

    @property
    def parts(self) -> dict[str, object]:
        """All that a resumed run needs."""
        return {
            "network": self.network,
            "discriminator": self.discriminator,
            "average": self.average,
            "optimiser": self.optimiser,
            "judge": self.judge,
        }

    def advance(self, step: int) -> dict[str, float]:
        """Take one step of the autoencoder and, where it is heard already, of the judge."""
        random = random_numbers(self.options.seed, step)
        count = self.options.batch
        rows = torch.randint(0, len(self.images), (count,), generator=random)
        real = vary(self.images[rows], random).to(self.device, memory_format=torch.channels_last)
        with autocast(self.options):
            mean, spread = self.network.encode(real)
            noise = torch.randn(mean.shape, generator=random).to(self.device)
            made = self.network.decoder(mean + noise * (spread / 2).exp()).float()
        pixels = pixel_loss(made, real)
        kl = ((mean.float().square() + spread.float().exp() - 1 - spread.float()) / 2).sum() / count
        (toward,) = torch.autograd.grad(pixels, made, retain_graph=True)
        judged, texture = 0.0, 0.0
        if step >= self.options.pixels_first:
            (pull,), texture = self._texture(made, real)
            toward = toward + pull * (TEXTURE_SHARE * toward.norm() / pull.norm().clamp_min(1e-12))
            judged = self._judge(made.detach(), real)
        self.optimiser.zero_grad()
        torch.autograd.backward([made, KL_WEIGHT * kl], [toward, None])
        self.optimiser.step()
        self.average.update(self.network, step)
        losses = {"pixels": pixels, "kl": kl}
        return {name: float(loss.detach()) for name, loss in losses.items()} | {
            "texture": texture,
            "judge": judged,
        }

    def _texture(self, made: Tensor, real: Tensor) -> tuple[tuple[Tensor, ...], float]:
        """Return the gradient in the images of what the judge holds against them."""
        with autocast(self.options):
            scores, maps = self.discriminator(made)
            with torch.no_grad():
                _, wanted = self.discriminator(real)
        alike = sum(
            functional.l1_loss(a.float(), b.float()) for a, b in zip(maps, wanted, strict=True)
        )
        loss = alike - scores.float().mean()
        return torch.autograd.grad(loss, made), float(loss.detach())

    def _judge(self, made: Tensor, real: Tensor) -> float:
        with autocast(self.options):
            scores, _ = self.discriminator(torch.cat([real, made]))
        right, wrong = scores.float().chunk(2)
        loss = (1 - right).relu().mean() + (1 + wrong).relu().mean()
        self.judge.zero_grad()
        loss.backward()
        self.judge.step()
        return float(loss.detach())

    @torch.inference_mode()
    def validate(self, step: int, folder: Path) -> dict[str, float]:
        """Compare val images with what becomes of them, and save a sheet of both."""
        network = self.average.network
        parts = [
            network.decoder(network.encode(part.to(self.device))[0])
            for part in to_pixels(self.val).split(16)
        ]
        made, real = to_bytes(torch.cat(parts)), self.val[..., 0]
        pairs = np.stack([real, made], axis=1)[:32]
        save_sheet(pairs.reshape(-1, *real.shape[1:]), folder / f"pairs_{step:06d}.png")
        both = standardise(self.val_features, self.extract(made))
        return {
            "val_frechet_distance": frechet_distance(*both),
            **{
                f"val_{measure.__name__}": mean_over_pairs(measure, real, made)
                for measure in (ms_ssim, psnr)
            },
        }

    def weights(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Return the averaged autoencoder."""
        return dict(self.average.state_dict()), {}


def pixel_loss(made: Tensor, real: Tensor) -> Tensor:
    """Return the L1 distance of values and of differences between neighbours."""
    error = made - real
    return error.abs().mean() + error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()


def mean_over_pairs(measure: Callable[..., float], real: np.ndarray, made: np.ndarray) -> float:
    """Return the mean of a measure of two images."""
    values = [measure(a, b, data_range=255) for a, b in zip(real, made, strict=True)]
    return float(np.mean(values))


class DiffusionTrainee:
    """Second phase: the U-Net learns to denoise the latents of the first.

    L1 on the velocity is L1 on the noise over ``sqrt(s)``, s being the share of signal. L1 learns
    medians, which lie nearer to zero than means where values are skewed: samples lack texture.
    The last steps, from ``squared_from`` on, therefore take squares, which learn means.
    """

    def __init__(
        self,
        images: TrainingImages,
        val: TrainingImages,
        options: argparse.Namespace,
        device: torch.device,
    ) -> None:
        self.options, self.device = options, device
        torch.manual_seed(options.seed)
        self.model = new_model(options).to(device, memory_format=torch.channels_last)
        start_from(options.out / "autoencoder" / WEIGHTS, self.model.autoencoder)
        if options.init is not None:
            start_from(options.init, self.model.unet, "unet.")
            if json.dumps(told(options.init)["conditions"]) == json.dumps(options.values):
                start_from(options.init, self.model.classes, "classes.")
        self.signal = kept_signal().float()
        self.conditions = torch.from_numpy(images.conditions)
        pixels = to_pixels(images.images)
        variants = [
            self._encode(vary(pixels, random_numbers(options.seed, i), zoom=ZOOM))
            for i in range(VARIANTS)
        ]
        self.latents = torch.stack(variants, dim=1)
        self.model.mean.copy_(self.latents.mean(dim=(0, 1, 3, 4))[:, None, None])
        self.model.deviation.copy_(self.latents.std(dim=(0, 1, 3, 4))[:, None, None])
        self.latents = self._scaled(self.latents)
        self.val_latents = self._scaled(self._encode(to_pixels(val.images)))
        self.val_conditions = torch.from_numpy(val.conditions)
        self.noise_gain = 1.0
        self.extract = SeededConvolution()
        self.val_features = self.extract(val.images[..., 0])
        self.network = nn.ModuleList([self.model.unet, self.model.classes])
        self.average = Average(self.network, options.averaging)
        self.averaged = copy.deepcopy(self.model).eval()
        self.averaged.unet, self.averaged.classes = self.average.network
        self.optimiser = torch.optim.AdamW(self.network.parameters(), options.rate)

    @torch.no_grad()
    def _encode(self, pixels: Tensor) -> Tensor:
        encode = self.model.autoencoder.encode
        return torch.cat([encode(part.to(self.device))[0].cpu() for part in pixels.split(16)])

    def _scaled(self, latents: Tensor) -> Tensor:
        return (latents - self.model.mean.cpu()) / self.model.deviation.cpu()

    @property
    def parts(self) -> dict[str, object]:
        """All that a resumed run needs; the latents are made again from the autoencoder."""
        return {"network": self.network, "average": self.average, "optimiser": self.optimiser}

    def advance(self, step: int) -> dict[str, float]:
        """Take one step on a batch of latents at random times."""
        random = random_numbers(self.options.seed, step)
        rows = torch.randint(0, len(self.latents), (self.options.batch,), generator=random)
        chosen = torch.randint(0, VARIANTS, (len(rows),), generator=random)
        left_out = torch.rand(len(rows), 1, generator=random) < LEFT_OUT
        conditions = self.conditions[rows].masked_fill(left_out, -1)
        self.model.train()
        error = self._error(self.model, self.latents[rows, chosen], conditions, random)
        loss = (error.square() if step >= self.options.squared_from else error.abs()).mean()
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.average.update(self.network, step)
        return {"velocity": float(loss.detach())}

    def _error(
        self, model: LatentDiffusion, latents: Tensor, conditions: Tensor, random: torch.Generator
    ) -> Tensor:
        times = torch.randint(0, STEPS, (len(latents),), generator=random)
        noise = torch.randn(latents.shape, generator=random)
        signal = self.signal[times][:, None, None, None]
        noisy = (signal.sqrt() * latents + (1 - signal).sqrt() * noise).to(self.device)
        velocity = signal.sqrt() * noise - (1 - signal).sqrt() * latents
        noisy = noisy.contiguous(memory_format=torch.channels_last)
        with autocast(self.options):
            found = model(noisy, times.to(self.device), conditions.to(self.device))
        return found.float() - velocity.to(self.device)

    @torch.inference_mode()
    def validate(self, step: int, folder: Path) -> dict[str, float]:
        """Sample under the conditions of val, save a sheet, and measure the loss on val too."""
        samples = self._draw(SAMPLING_STEPS)
        save_sheet(samples[:64], folder / f"samples_{step:06d}.png")
        random = torch.Generator().manual_seed(2)
        errors = [
            self._error(self.averaged, self.val_latents, self.val_conditions, random)
            for _ in range(8)
        ]
        return {
            "val_frechet_distance": self._distance(samples),
            "val_velocity": float(torch.stack(errors).abs().mean()),
        }

    @torch.inference_mode()
    def choose_noise_gain(self, weights: Path) -> dict[float, float]:
        """Load the best weights, find their noise gain, and return distances to val by gain."""
        start_from(weights, self.averaged)
        distances = {
            gain: self._distance(self._draw(FINAL_STEPS, noise_gain=gain)) for gain in NOISE_GAINS
        }
        self.noise_gain = min(NOISE_GAINS, key=distances.__getitem__)
        return distances

    def _draw(self, steps: int, *, noise_gain: float = 1.0) -> np.ndarray:
        noise = torch.randn(self.val_latents.shape, generator=torch.Generator().manual_seed(1))
        drawn = [
            self.averaged.draw(
                part.to(self.device), asked.to(self.device), steps=steps, noise_gain=noise_gain
            )
            for part, asked in zip(noise.split(32), self.val_conditions.split(32), strict=True)
        ]
        return to_bytes(torch.cat(drawn))

    def _distance(self, samples: np.ndarray) -> float:
        return frechet_distance(*standardise(self.val_features, self.extract(samples)))

    def weights(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Return the autoencoder and the averaged U-Net, and what is needed to build them."""
        facts = {
            "size": self.options.size,
            "channels": self.options.channels,
            "autoencoder_widths": self.options.autoencoder_widths,
            "unet_widths": self.options.unet_widths,
            "conditions": self.options.values,
            "noise_gain": self.noise_gain,
        }
        # In one piece: the order of several in the file would differ from run to run.
        return dict(self.averaged.state_dict()), {"facts": json.dumps(facts)}


def new_model(options: argparse.Namespace) -> LatentDiffusion:
    """Return an untrained model."""
    counts = [len(values) for values in options.values.values()]
    return LatentDiffusion(
        options.channels, counts, options.autoencoder_widths, options.unet_widths
    )


def told(path: Path) -> dict[str, Any]:
    """Return the facts in a weights file.

    Raises
    ------
    TrainingError
        If it has none.
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts: dict[str, Any] = json.loads(file.metadata()["facts"])
            facts["conditions"]
    except (OSError, SafetensorError, TypeError, ValueError, KeyError) as error:
        raise TrainingError(path, "these are no weights of this network") from error
    return facts


def save_sheet(images: np.ndarray, path: Path) -> None:
    """Save grey images of shape (n, side, side)."""
    write_picture(path, contact_sheet(list(images), columns=8))
