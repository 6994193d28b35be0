"""Colonoscopy frames of 128 x 128 pixels with a polyp and its mask, from a light-weight GAN.

The GAN draws latents, whose decoder makes a frame and its mask of them. ``load`` returns a sampler;
``sample`` maps latent vectors of 128 standard normal values to RGB frames and masks.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open

from .autoencoder import COMPRESSION, Autoencoder, sharpen
from .network import LATENT_SIZE, Generator

WEIGHTS = Path(__file__).resolve().parent / "weights.safetensors"


class Sampler:
    """A trained generator and decoder on one device.

    Parameters
    ----------
    generator : Generator
    autoencoder : Autoencoder
        Its decoder makes frames and masks of what the generator draws.
    sharpening : float
        Amount as `sharpen` takes it.
    device : torch.device
    """

    def __init__(
        self,
        generator: Generator,
        autoencoder: Autoencoder,
        sharpening: float,
        device: torch.device,
    ) -> None:
        self.generator = generator.to(device).eval()
        self.autoencoder = autoencoder.to(device).eval()
        self.sharpening, self.device = sharpening, device

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
        drawn = self.generator(torch.tensor(latents, device=self.device))
        pairs = sharpen(self.autoencoder.draw(drawn), self.sharpening).cpu().numpy()
        return {"image": (pairs[:, :3] + 1) / 2, "mask": (pairs[:, 3:] > 0).astype(np.uint8) * 255}


def load(weights: str | None = None, device: str = "cpu") -> Sampler:
    """Read weights as ``train.py`` writes them, by default those of the package."""
    with safe_open(weights or WEIGHTS, framework="pt") as file:
        facts = json.loads(file.metadata()["facts"])
        networks = {
            "autoencoder": Autoencoder(facts["channels"], facts["autoencoder_widths"]),
            "generator": Generator(facts["channels"], facts["size"] // COMPRESSION),
        }
        for name, network in networks.items():
            keys = [key for key in file.keys() if key.startswith(f"{name}.")]  # noqa: SIM118
            # The file holds half precision; copying into the network turns it into float32.
            network.load_state_dict(
                {key.removeprefix(f"{name}."): file.get_tensor(key) for key in keys}
            )
    return Sampler(**networks, sharpening=facts["sharpening"], device=torch.device(device))
