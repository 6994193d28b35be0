"""Chest radiographs of 128 x 128 pixels, by report label and view, from a conditional GAN.

The GAN draws the latents of an autoencoder, whose decoder makes images of them. ``load`` returns a
sampler; ``sample`` maps latent vectors of 128 standard normal values and the numbers of classes
to grey images.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open

from .autoencoder import Latents, Pixels, sharpen
from .network import LATENT_SIZE, Generator, new_generator

WEIGHTS = Path(__file__).resolve().parent / "weights.safetensors"


class Sampler:
    """A trained generator on one device.

    Parameters
    ----------
    generator : Generator
    seen : Pixels or Latents
        What makes images of that which the generator draws.
    conditions : mapping of str to sequence of str
        The values of each. Classes are numbered with the last condition fastest.
    sharpening : float
        Amount as `sharpen` takes it.
    device : torch.device
    """

    def __init__(
        self,
        generator: Generator,
        seen: Pixels | Latents,
        conditions: Mapping[str, Sequence[str]],
        sharpening: float,
        device: torch.device,
    ) -> None:
        self.generator, self.seen = generator.to(device).eval(), seen.to(device).eval()
        self.conditions = {name: tuple(values) for name, values in conditions.items()}
        self.counts = tuple(map(len, self.conditions.values()))
        self.sharpening, self.device = sharpening, device

    @torch.inference_mode()
    def sample(
        self, latents: NDArray[np.float32], condition: NDArray[np.int64] | None = None
    ) -> dict[str, NDArray[np.generic]]:
        """Return ``image``, and ``mask`` where the model was trained with masks.

        Parameters
        ----------
        latents : ndarray of float32, shape (n, 128)
            Standard normal values.
        condition : ndarray of int64, shape (n,), optional
            Numbers of classes, in the order of the record. Default: the classes are left open.

        Returns
        -------
        dict
            ``image``, float32 of shape (n, 1, size, size) in [0, 1]; ``mask``, uint8 of the same
            shape with 0 and 255.

        Raises
        ------
        ValueError
            If the latents have another shape, or there is no such class.
        """
        latents = np.asarray(latents, dtype=np.float32)
        if latents.ndim != 2 or latents.shape[1] != LATENT_SIZE or not len(latents):
            raise ValueError(f"latents: got shape {latents.shape}, expected (n, {LATENT_SIZE}).")
        classes = self._classes(len(latents), condition)
        # One at a time: rounding cannot depend on the batch.
        rows = zip(torch.tensor(latents).split(1), classes.split(1), strict=True)
        parts = [self.generator(z.to(self.device), y.to(self.device)) for z, y in rows]
        images = [sharpen(self.seen.decode(part), self.sharpening) for part in parts]
        pixels = torch.cat(images).cpu()
        samples = {"image": ((pixels[:, :1] + 1) / 2).numpy()}
        if pixels.shape[1] > 1:
            samples["mask"] = ((pixels[:, 1:] > 0).to(torch.uint8) * 255).numpy()
        return samples

    def _classes(self, count: int, condition: NDArray[np.int64] | None) -> torch.Tensor:
        """Return the place of each condition's value, -1 where it is left open."""
        if condition is None:
            return torch.full((count, len(self.counts)), -1)
        if not self.counts:
            raise ValueError("condition: this model has no classes, leave it out.")
        numbers = np.asarray(condition)
        highest = int(np.prod(self.counts)) - 1
        whole = numbers.shape == (count,) and numbers.dtype.kind in "iu"
        if not whole or not ((numbers >= 0) & (numbers <= highest)).all():
            raise ValueError(
                f"condition: got {condition!r}, expected {count} numbers from 0 to {highest}."
            )
        return torch.from_numpy(np.stack(np.unravel_index(numbers, self.counts), axis=1))


def load(weights: str | None = None, device: str = "cpu") -> Sampler:
    """Read weights as ``train.py`` writes them, by default those of the package."""
    with safe_open(weights or WEIGHTS, framework="pt") as file:
        facts = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    channels = int(facts["channels"])
    seen = Latents(channels) if facts["latents"] == "1" else Pixels(channels)
    generator = new_generator(facts)
    # The file holds half precision; copying into the networks turns it into float32.
    torch.nn.ModuleDict({"generator": generator, "seen": seen}).load_state_dict(tensors)
    conditions, sharpening = json.loads(facts["conditions"]), float(facts["sharpening"])
    return Sampler(generator, seen, conditions, sharpening, torch.device(device))
