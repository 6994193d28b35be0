"""Colonoscopy frames of 128 x 128 pixels with a polyp and its mask, from a light-weight GAN.

``load`` returns a sampler; ``sample`` maps latent vectors of 128 standard normal values to RGB
frames and masks.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open

from .network import LATENT_SIZE, Generator, sharpen

WEIGHTS = Path(__file__).resolve().parent / "weights.safetensors"


class Sampler:
    """A trained generator on one device."""

    def __init__(self, generator: Generator, device: torch.device, sharpening: float) -> None:
        self.generator = generator.to(device).eval()
        self.device = device
        self.sharpening = sharpening

    @torch.inference_mode()
    def sample(
        self, latents: NDArray[np.float32], condition: NDArray[np.int64] | None = None
    ) -> dict[str, NDArray[np.generic]]:
        """Return ``image`` and ``mask``.

        Parameters
        ----------
        latents : ndarray of float32, shape (n, 128)
            Standard normal values.
        condition : None
            The model has one class.

        Returns
        -------
        dict
            ``image``, float32 of shape (n, 3, size, size) in [0, 1], and ``mask``, uint8 of shape
            (n, 1, size, size) with 0 and 255.

        Raises
        ------
        ValueError
            If the latents have another shape or a condition is given.
        """
        latents = np.asarray(latents, dtype=np.float32)
        if latents.ndim != 2 or latents.shape[1] != LATENT_SIZE:
            raise ValueError(f"latents: got shape {latents.shape}, expected (n, {LATENT_SIZE}).")
        if condition is not None:
            raise ValueError("condition: this model has one class, leave it out.")
        pixels = self.generator(torch.tensor(latents, device=self.device))
        frames = (sharpen(pixels[:, :3], self.sharpening) + 1) / 2
        masks = (pixels[:, 3:] > 0).to(torch.uint8) * 255
        return {"image": frames.cpu().numpy(), "mask": masks.cpu().numpy()}


def load(weights: str | None = None, device: str = "cpu") -> Sampler:
    """Read weights as ``train.py`` writes them, by default those of the package."""
    with safe_open(weights or WEIGHTS, framework="pt") as file:
        facts = file.metadata()
        generator = Generator(int(facts["size"]))
        # The file holds half precision; copying into the network turns it into float32.
        generator.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    return Sampler(generator, torch.device(device), float(facts.get("sharpening", 0)))
