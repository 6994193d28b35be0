"""The two phases of the training: the autoencoder, then the GAN in its latent space."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from autoencoder import COMPRESSION, Autoencoder, PatchDiscriminator, sharpen
from network import LATENT_SIZE, Discriminator, Generator
from pairs import ZOOM, Bytes, save_sheet, to_bytes, to_pixels, vary
from torch import Tensor
from torch.nn import functional

from medmint.metrics.distances import frechet_distance
from medmint.metrics.features import SeededConvolution, standardise
from medmint.metrics.similarity import psnr
from medmint.model_trainer import (
    Average,
    augment,
    autocast,
    random_numbers,
    start_from,
)
from medmint.model_trainer.judging.fidelity import fine_power, likeness
from medmint.model_trainer.run import WEIGHTS

AUTOENCODER_RATE, AUTOENCODER_BETAS, AUTOENCODER_AVERAGING = 4e-4, (0.5, 0.99), 0.998
KL_WEIGHT = 1e-6
#: Length of the gradient of the judge's losses over that of the pixel losses.
TEXTURE_SHARE = 0.7
GAN_BETAS, GAN_AVERAGING = (0.0, 0.99), 0.998
#: Learning rates; twice as fast for the discriminator (Heusel et al., NIPS 2017, arXiv:1706.08500).
RATES = {"generator": 2e-4, "discriminator": 4e-4}
#: The penalty on real latents is taken so seldom, with so much more weight.
PENALTY, PENALTY_EVERY = 0.1, 4
#: Changed copies of each training frame whose latents are seen.
VARIANTS = 6
#: Amounts of sharpening to choose from on the val split.
SHARPENINGS = (0.0, 0.04, 0.07, 0.1, 0.13)
SHOWN = 32


class AutoencoderTrainee:
    """First phase: pairs to latents and back, with the texture that a discriminator misses."""

    def __init__(self, pairs: Bytes, val: Bytes, options: argparse.Namespace, device: Any) -> None:
        self.options, self.device = options, device
        self.pairs, self.val = to_pixels(pairs), val
        self.extract = SeededConvolution()
        self.val_features = self.extract(val[..., :3])
        place = {"device": device, "memory_format": torch.channels_last}
        self.network = Autoencoder(options.channels, options.autoencoder_widths).to(**place)
        if options.init is not None:
            start_from(options.init, self.network, "autoencoder.")
        self.discriminator = PatchDiscriminator().to(**place)
        self.average = Average(self.network, AUTOENCODER_AVERAGING)
        self.optimiser, self.judge = (
            torch.optim.Adam(network.parameters(), AUTOENCODER_RATE, AUTOENCODER_BETAS)
            for network in (self.network, self.discriminator)
        )

    @property
    def parts(self) -> dict[str, Any]:
        """All that a resumed run needs."""
        names = ("network", "discriminator", "average", "optimiser", "judge")
        return {name: getattr(self, name) for name in names}

    def advance(self, step: int) -> dict[str, float]:
        """Take one step of the autoencoder and, where it is heard already, of the judge."""
        random = random_numbers(self.options.seed, step)
        rows = torch.randint(0, len(self.pairs), (self.options.batch,), generator=random)
        real = vary(self.pairs[rows], random).to(self.device, memory_format=torch.channels_last)
        with autocast(self.options):
            mean, spread = self.network.encode(real)
            noise = torch.randn(mean.shape, generator=random).to(self.device)
            made = self.network.decoder(mean + noise * (spread / 2).exp()).float()
        pixels = pixel_loss(made, real)
        kl = divergence(mean.float(), spread.float())
        (toward,) = torch.autograd.grad(pixels, made, retain_graph=True)
        judged, texture = 0.0, 0.0
        if step >= self.options.pixels_first:
            pull, texture = self._texture(made, real)
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

    def _texture(self, made: Tensor, real: Tensor) -> tuple[Tensor, float]:
        """Return the gradient in the pairs of what the judge holds against them, and its loss."""
        with autocast(self.options):
            scores, maps = self.discriminator(made)
            with torch.no_grad():
                _, wanted = self.discriminator(real)
        alike = sum(
            functional.l1_loss(a.float(), b.float()) for a, b in zip(maps, wanted, strict=True)
        )
        loss = alike - scores.float().mean()
        (pull,) = torch.autograd.grad(loss, made)
        return pull, float(loss.detach())

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
        """Compare val pairs with what becomes of them, and save a sheet of both."""
        network = self.average.network
        parts = [
            network.decoder(network.encode(part.to(self.device))[0])
            for part in to_pixels(self.val).split(16)
        ]
        made, real = to_bytes(torch.cat(parts)), self.val
        both = np.stack([real, made], axis=1)[: SHOWN // 2]
        save_sheet(both.reshape(-1, *real.shape[1:]), folder / f"pairs_{step:06d}.png")
        features = self.extract(made[..., :3])
        distances = [
            psnr(a, b, data_range=255) for a, b in zip(real[..., :3], made[..., :3], strict=True)
        ]
        return {
            "val_frechet_distance": frechet_distance(*standardise(self.val_features, features)),
            "val_psnr": float(np.mean(distances)),
            "val_wrong_mask": float(((made[..., 3] > 127) != (real[..., 3] > 127)).mean()),
        }

    def weights(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Return the averaged autoencoder."""
        return dict(self.average.state_dict()), {}


def pixel_loss(made: Tensor, real: Tensor) -> Tensor:
    """Return the L1 distance of values and of differences between neighbours."""
    error = made - real
    return error.abs().mean() + error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()


def divergence(mean: Tensor, spread: Tensor) -> Tensor:
    """Return how far normal distributions of this log-variance are from the standard one."""
    return ((mean.square() + spread.exp() - 1 - spread) / 2).sum() / len(mean)


class GanTrainee:
    """Second phase: the GAN learns to draw the latents of the first."""

    def __init__(self, pairs: Bytes, val: Bytes, options: argparse.Namespace, device: Any) -> None:
        self.options, self.device = options, device
        torch.manual_seed(options.seed)
        layout = {"device": device, "memory_format": torch.channels_last}
        autoencoder = Autoencoder(options.channels, options.autoencoder_widths)
        start_from(options.out / "autoencoder" / WEIGHTS, autoencoder)
        self.autoencoder = autoencoder.to(**layout).eval()
        self.latents = self._latents(to_pixels(pairs))
        side = options.size // COMPRESSION
        self.generator = Generator(options.channels, side).to(**layout)
        if options.init is not None:
            start_from(options.init, self.generator, "generator.")
        self.discriminator = Discriminator(options.channels, side).to(**layout)
        self.average = Average(self.generator, GAN_AVERAGING)
        self.optimisers = {
            name: torch.optim.Adam(getattr(self, name).parameters(), rate, GAN_BETAS)
            for name, rate in RATES.items()
        }
        self.val_images, self.extract = val[..., :3], SeededConvolution()
        self.val_features = self.extract(self.val_images)
        self.sharpening = 0.0

    @torch.no_grad()
    def _latents(self, pixels: Tensor) -> Tensor:
        """Return scaled latents of changed copies, (n, variants, channels, side, side)."""
        encode = self.autoencoder.encode
        copies = [
            vary(pixels, random_numbers(self.options.seed, i), zoom=ZOOM) for i in range(VARIANTS)
        ]
        latents = [
            torch.cat([encode(part.to(self.device))[0] for part in copy.split(16)])
            for copy in copies
        ]
        self.autoencoder.fit(torch.cat(latents))
        return torch.stack([self.autoencoder.scale(each).cpu() for each in latents], dim=1)

    @property
    def parts(self) -> dict[str, Any]:
        """All that a resumed run needs; the latents are made again from the autoencoder."""
        optimisers = {f"{name}_optimiser": part for name, part in self.optimisers.items()}
        names = ("generator", "discriminator", "average")
        return {name: getattr(self, name) for name in names} | optimisers

    def advance(self, step: int) -> dict[str, float]:
        """Take one step of both networks."""
        random = random_numbers(self.options.seed, step)
        self._slow_down(step)
        count = self.options.batch
        rows = torch.randint(0, len(self.latents), (count,), generator=random)
        chosen = torch.randint(0, VARIANTS, (count,), generator=random)
        noise = torch.randn(count, LATENT_SIZE, generator=random).to(self.device)
        quadrant = int(torch.randint(0, 4, (1,), generator=random))
        with autocast(self.options):
            fake = self.generator(noise).float()
        real = self._augment(self.latents[rows, chosen].to(self.device), random)
        penalty = PENALTY * PENALTY_EVERY if step % PENALTY_EVERY == 0 else 0.0
        critic = self._discriminate(
            real,
            self._augment(fake.detach(), random),
            quadrant=quadrant,
            penalty=penalty,
        )
        losses = {"discriminator": critic, "generator": self._generate(fake, random)}
        self.average.update(self.generator, step)
        return losses

    def _slow_down(self, step: int) -> None:
        """Keep the learning rates for half of the steps, then let them fall in a line to nothing.

        At a steady rate the generator circles around what it has learnt, and the average of its
        weights draws smoother latents than any one of them.
        """
        share = min(1.0, 2 * (1 - step / self.options.steps))
        for name, optimiser in self.optimisers.items():
            for group in optimiser.param_groups:
                group["lr"] = share * RATES[name]

    def _augment(self, latents: Tensor, random: torch.Generator) -> Tensor:
        # Brightness and contrast are of pixels; latents are shifted and cut out, mask and all.
        changed = augment(latents, random, colours=0)
        return changed.contiguous(memory_format=torch.channels_last)

    def _discriminate(self, real: Tensor, fake: Tensor, *, quadrant: int, penalty: float) -> float:
        with autocast(self.options):
            real_scores, error = self.discriminator.score_and_reconstruct(real, quadrant)
            fake_scores = self.discriminator(fake)
        loss = functional.softplus(-real_scores).mean() + functional.softplus(fake_scores).mean()
        total = loss + error
        if penalty:
            # In full precision: gradients of gradients lose too much in bfloat16.
            seen = real.requires_grad_()
            scores = self.discriminator(seen).sum()
            (slope,) = torch.autograd.grad(scores, seen, create_graph=True)
            total = total + penalty / 2 * slope.square().sum(dim=(1, 2, 3)).mean()
        self.optimisers["discriminator"].zero_grad()
        total.backward()
        self.optimisers["discriminator"].step()
        return float(loss.detach())

    def _generate(self, fake: Tensor, random: torch.Generator) -> float:
        self.discriminator.requires_grad_(requires_grad=False)
        with autocast(self.options):
            scores = self.discriminator(self._augment(fake, random))
        loss = functional.softplus(-scores).mean()
        self.optimisers["generator"].zero_grad()
        loss.backward()
        self.optimisers["generator"].step()
        self.discriminator.requires_grad_(requires_grad=True)
        return float(loss.detach())

    def validate(self, step: int, folder: Path) -> dict[str, float]:
        """Compare as many samples as val has frames, each sharpening; save a sheet of some."""
        samples = self._sample(len(self.val_features), seed=1)
        found = {amount: self._likeness(samples, amount) for amount in SHARPENINGS}
        self.sharpening = min(SHARPENINGS, key=lambda amount: found[amount].distance)
        best = found[self.sharpening]
        drawn = to_bytes(sharpen(samples, self.sharpening))
        save_sheet(drawn[:SHOWN], folder / f"samples_{step:06d}.png")
        return {
            **{
                f"val_{name}": getattr(best, name) for name in ("distance", "precision", "coverage")
            },
            "val_fine_power": fine_power(drawn[..., :3]) / fine_power(self.val_images),
            "sharpening": self.sharpening,
            "with_mask": float((drawn[..., 3] > 127).any(axis=(1, 2)).mean()),
        }

    def _likeness(self, samples: Tensor, amount: float) -> Any:
        frames = to_bytes(sharpen(samples, amount))[..., :3]
        return likeness(self.val_features, self.extract(frames))

    @torch.inference_mode()
    def _sample(self, count: int, seed: int) -> Tensor:
        """Draw samples of the averaged generator, shape (count, 4, size, size)."""
        noise = torch.randn(count, LATENT_SIZE, generator=torch.Generator().manual_seed(seed))
        parts = [self.average.network(part.to(self.device)) for part in noise.split(32)]
        return torch.cat([self.autoencoder.draw(part) for part in parts]).cpu()

    def weights(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Return the autoencoder and the averaged generator, and how frames are sharpened."""
        networks = {"generator": self.average, "autoencoder": self.autoencoder}
        tensors = {
            f"{name}.{key}": value
            for name, network in networks.items()
            for key, value in network.state_dict().items()
        }
        told = {name: getattr(self.options, name) for name in ("size", "channels")}
        widths = {"autoencoder_widths": self.options.autoencoder_widths}
        # In one piece: the order of several in the file would differ from run to run.
        facts = json.dumps(told | widths | {"sharpening": self.sharpening})
        return tensors, {"facts": facts}
