"""The two networks of the GAN and how a step of training changes them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from autoencoder import Latents, Pixels, sharpen
from earlier import NETWORKS, Earlier, new_seen, read_earlier
from losses import (
    LOSSES,
    clip_weights,
    feature_distance,
    gradient_penalty,
    mode_seeking_loss,
    real_penalty,
)
from network import LATENT_SIZE, new_discriminator, new_generator
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from medmint.errors import TrainingError
from medmint.metrics.features import SeededConvolution
from medmint.model_trainer import (
    Average,
    TrainingImages,
    augment,
    autocast,
    prepare_device,
    random_numbers,
)
from medmint.model_trainer.judging.fidelity import fine_power, likeness
from medmint.sheets import contact_sheet, write_picture

BETAS = (0.0, 0.99)
#: Learning rate of the discriminator over that of the generator.
FASTER = 2.0
#: The penalty on real images is taken so seldom, with so much more weight (Karras et al. 2020).
PENALTY_EVERY = 4
#: Sets of samples, each as many as val has images, over which the distance is averaged.
DRAWS = 2
SHOWN = 32
#: Changed copies of each training image whose latents are seen: pixels of 128 that they are
#: shifted by, and shares that brightness and contrast change by.
VARIANTS = 6
SHIFT, BRIGHTNESS, CONTRAST = 6, 0.06, 0.08
#: Amounts of sharpening to choose from on val, and how much more fine power than val they may give.
SHARPENINGS = (0.0, 0.02, 0.04, 0.06, 0.07, 0.08)
MOST_FINE_POWER = 1.5


class Training:
    """Networks, their optimisers and the running average, and how a step changes them."""

    def __init__(
        self,
        data: TrainingImages,
        val: TrainingImages,
        conditions: Mapping[str, Sequence[str]],
        options: argparse.Namespace,
    ) -> None:
        self.device, self.options = prepare_device(options), options
        self.loss, self.extract = LOSSES[options.loss], SeededConvolution()
        earlier = None if options.init is None else read_earlier(options.init)
        seen = new_seen(options, earlier)
        self.facts = {
            "size": str(options.size),
            "side": str(options.size // seen.compression),
            "width": str(options.width),
            "channels": str(seen.channels),
            "latents": str(int(isinstance(seen, Latents))),
            "conditions": json.dumps(conditions),
        }
        layout: dict[str, Any] = {"device": self.device, "memory_format": torch.channels_last}
        self.seen = seen.to(**layout)
        self.generator = new_generator(self.facts).to(**layout)
        discriminator = new_discriminator(self.facts, spectral=options.spectral)
        self.discriminator = discriminator.to(**layout)
        self.average = Average(self.generator, options.averaging)
        if earlier is not None:
            self._start_from(earlier)
        self.generator_optimiser = torch.optim.Adam(
            self.generator.parameters(), options.rate, BETAS
        )
        self.discriminator_optimiser = torch.optim.Adam(
            self.discriminator.parameters(), options.rate * FASTER, BETAS
        )
        self.classes, self.val_classes = map(torch.from_numpy, (data.conditions, val.conditions))
        self.kept = self._kept(data)
        self.val_images = val.images[..., 0]
        self.val_features = self.extract(self.val_images)
        self.sharpening = 0.0

    @property
    def parts(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            **self._networks,
            "generator_optimiser": self.generator_optimiser,
            "discriminator_optimiser": self.discriminator_optimiser,
        }

    @property
    def _networks(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in NETWORKS}

    def _start_from(self, earlier: Earlier) -> None:
        """Take over what an earlier training learnt; other classes than its own start anew."""
        is_same = earlier.facts["conditions"] == self.facts["conditions"]
        for name, tensors in earlier.parts.items():
            part = self._networks[name]
            own = {} if is_same else part.state_dict()
            kept = {key: value for key, value in own.items() if key.startswith("classes.")}
            others = {k: v for k, v in tensors.items() if is_same or not k.startswith("classes.")}
            try:
                part.load_state_dict(others | kept)
            except RuntimeError as error:
                raise TrainingError(
                    earlier.path,
                    f"its {name} has other layers",
                    "Give the --size, --width, --masks and --spectral that it was trained with.",
                ) from error

    def _kept(self, data: TrainingImages) -> Tensor:
        """Return what is seen of each image, shape (n, variants, channels, side, side)."""
        pixels = torch.from_numpy(data.images).permute(0, 3, 1, 2)
        if data.masks is not None:
            pixels = torch.cat([pixels, torch.from_numpy(data.masks)[:, None]], dim=1)
        if isinstance(self.seen, Pixels):
            return pixels[:, None].contiguous()
        images = pixels.float() / 127.5 - 1
        if self.options.autoencoder is not None:
            self.seen.fit(images.to(self.device))
        varied = [
            self.seen.encode(vary(images, random_numbers(self.options.seed, i)).to(self.device))
            for i in range(VARIANTS)
        ]
        return torch.stack(varied, dim=1).cpu()

    def advance(self, step: int) -> dict[str, float]:
        """Take the steps of the discriminator that the loss asks for, then one of the generator."""
        random = random_numbers(self.options.seed, step)
        self._slow_down(step)
        for turn in range(self.loss.critic_steps):
            real, real_classes = self._batch(random)
            # Two of each class, so that it can be told how much they differ.
            classes = self._batch(random)[1]
            classes = classes[: len(classes) // 2].repeat(2, 1)
            latents = torch.randn(len(classes), LATENT_SIZE, generator=random).to(self.device)
            with autocast(self.options):
                fake = self.generator(latents, classes)
            penalise = turn == 0 and step % PENALTY_EVERY == 0
            critic = self._discriminate(
                (real, real_classes), (fake.detach(), classes), random, penalise=penalise
            )
        variety = self.options.mode_seeking * mode_seeking_loss(fake, latents)
        generator = self._generate((real, real_classes), (fake, classes), random, more=variety)
        self.average.update(self.generator, step)
        return {"discriminator": critic, "generator": generator}

    def _slow_down(self, step: int) -> None:
        """Keep the learning rates for half of the steps, then let them fall in a line to nothing.

        At a steady rate the generator circles around what it has learnt, and the average of its
        weights draws smoother images than any one of them.
        """
        rate = self.options.rate * min(1.0, 2 * (1 - step / self.options.steps))
        for optimiser, factor in (
            (self.generator_optimiser, 1.0),
            (self.discriminator_optimiser, FASTER),
        ):
            for group in optimiser.param_groups:
                group["lr"] = rate * factor

    def _batch(self, random: torch.Generator) -> tuple[Tensor, Tensor]:
        rows = torch.randint(0, len(self.kept), (self.options.batch,), generator=random)
        chosen = torch.randint(0, self.kept.shape[1], (len(rows),), generator=random)
        real = self.kept[rows, chosen].to(self.device, memory_format=torch.channels_last)
        if real.dtype == torch.uint8:
            real = real.float() / 127.5 - 1
        return real, self.classes[rows].to(self.device)

    def _augmented(self, seen: Tensor, random: torch.Generator) -> Tensor:
        """Return images or latents as the discriminator gets to see them."""
        if not self.options.augment:
            return seen
        # Brightness and contrast are of pixels, not of masks or latents.
        colours = 1 if isinstance(self.seen, Pixels) else 0
        changed = augment(seen, random, colours=colours)
        return changed.contiguous(memory_format=torch.channels_last)

    def _discriminate(
        self,
        real: tuple[Tensor, Tensor],
        fake: tuple[Tensor, Tensor],
        random: torch.Generator,
        *,
        penalise: bool,
    ) -> float:
        seen_real, seen_fake = self._augmented(real[0], random), self._augmented(fake[0], random)
        quadrant = int(torch.randint(0, 4, (1,), generator=random))
        with autocast(self.options):
            real_scores, error = self.discriminator.judge_and_rebuild(seen_real, real[1], quadrant)
            fake_scores, _ = self.discriminator(seen_fake, fake[1])
        smoothing = (self.options.label_smoothing,) if self.loss.smooths else ()
        loss = self.loss.discriminator(real_scores, fake_scores, *smoothing)
        total = loss + error

        # In full precision: gradients of gradients lose too much in bfloat16.
        def critic(images: Tensor) -> Tensor:
            scores: Tensor = self.discriminator(images, real[1])[0]
            return scores

        if self.loss.penalty:
            penalty = gradient_penalty(critic, seen_real, seen_fake, random)
            total = total + self.loss.penalty * penalty
        if self.options.real_penalty and penalise:
            weight = self.options.real_penalty * PENALTY_EVERY
            total = total + weight * real_penalty(critic, seen_real)
        self.discriminator_optimiser.zero_grad()
        total.backward()
        self.discriminator_optimiser.step()
        if self.loss.clip is not None:
            clip_weights(self.discriminator, self.loss.clip)
        return float(loss.detach())

    def _generate(
        self,
        real: tuple[Tensor, Tensor],
        fake: tuple[Tensor, Tensor],
        random: torch.Generator,
        *,
        more: Tensor,
    ) -> float:
        self.discriminator.requires_grad_(requires_grad=False)
        with autocast(self.options):
            scores, features = self.discriminator(self._augmented(fake[0], random), fake[1])
        loss = self.loss.generator(scores)
        if weight := self.options.feature_matching:
            with torch.no_grad(), autocast(self.options):
                _, wanted = self.discriminator(self._augmented(real[0], random), real[1])
            loss = loss + weight * feature_distance(wanted, features)
        self.generator_optimiser.zero_grad()
        (loss + more).backward()
        self.generator_optimiser.step()
        self.discriminator.requires_grad_(requires_grad=True)
        return float(loss.detach())

    @torch.inference_mode()
    def sample(self, classes: Tensor, seed: int) -> Tensor:
        """Draw a sample of the averaged generator for each row of classes, not yet sharpened."""
        latents = torch.randn(len(classes), LATENT_SIZE, generator=random_numbers(seed, 0))
        both = zip(latents.split(32), classes.split(32), strict=True)
        parts = [self.average.network(z.to(self.device), y.to(self.device)) for z, y in both]
        return torch.cat([self.seen.decode(part) for part in parts]).cpu()

    def validate(self, step: int, folder: Path) -> dict[str, float]:
        """Compare samples under the conditions of val with val, and save a sheet of them.

        Of the sharpenings that leave the fine power in bounds, the nearest to val is taken.
        """
        drawn = [self.sample(self.val_classes, seed) for seed in range(DRAWS)]
        found = {amount: self._measure(drawn, amount) for amount in SHARPENINGS}
        allowed = [a for a in SHARPENINGS if found[a]["val_fine_power"] <= MOST_FINE_POWER]
        nearest = min(allowed or [0.0], key=lambda amount: found[amount]["val_distance"])
        self.sharpening = nearest
        shown = to_bytes(sharpen(drawn[0][:SHOWN], nearest))
        masks = list(shown[..., 1] > 127) if self.options.masks else None
        sheet = contact_sheet(list(shown[..., 0]), masks, columns=8)
        write_picture(folder / f"samples_{step:06d}.png", sheet)
        return found[nearest] | {"sharpening": nearest}

    def _measure(self, drawn: Sequence[Tensor], amount: float) -> dict[str, float]:
        images = [to_bytes(sharpen(samples, amount))[..., 0] for samples in drawn]
        found = [likeness(self.val_features, self.extract(each)) for each in images]
        power = fine_power(images[0]) / fine_power(self.val_images)
        return {
            f"val_{name}": float(np.mean([getattr(like, name) for like in found]))
            for name in ("distance", "precision", "coverage")
        } | {"val_fine_power": power}

    def weights(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Return the averaged weights and what the sampler has to know about them."""
        networks = {"generator": self.average, "seen": self.seen}
        return {
            f"{name}.{key}": value
            for name, network in networks.items()
            for key, value in network.state_dict().items()
        }, self.facts | {"sharpening": str(self.sharpening)}


def to_bytes(images: Tensor) -> NDArray[np.uint8]:
    """Bring (n, channels, side, side) in [-1, 1] to uint8, channels last."""
    levels = ((images + 1) * 127.5).round().clamp(0, 255).byte()
    return levels.permute(0, 2, 3, 1).numpy()


def vary(images: Tensor, random: torch.Generator) -> Tensor:
    """Shift by whole pixels and change brightness and contrast a little; never mirrored."""
    reach = images.shape[-1] * SHIFT // 128
    padded = functional.pad(images, (reach,) * 4, mode="replicate")
    places = torch.randint(0, 2 * reach + 1, (len(images), 2), generator=random).tolist()
    height, width = images.shape[-2:]
    moved = torch.stack(
        [
            image[:, y : y + height, x : x + width]
            for image, (y, x) in zip(padded, places, strict=True)
        ]
    )
    brightness, contrast = (2 * torch.rand(2, len(images), 1, 1, 1, generator=random) - 1).unbind()
    return (moved * (1 + CONTRAST * contrast) + BRIGHTNESS * brightness).clamp(-1, 1)
