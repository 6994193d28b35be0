"""Chest radiographs of 128 x 128 pixels by latent diffusion, asked for by class and view.

``load`` returns a sampler; ``sample`` takes latent vectors of standard normal values as the noise
to start from, adds none on the way, and so maps the same vector always to the same image.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open

from .network import COMPRESSION, STEPS, LatentDiffusion

WEIGHTS = Path(__file__).resolve().parent / "weights.safetensors"
LARGEST_GUIDANCE = 20.0
NOISE_GAINS = (0.5, 4.0)


class Sampler:
    """A trained model on one device.

    Parameters
    ----------
    model : LatentDiffusion
    facts : mapping
        ``size`` of the images, ``channels`` of the latents, ``conditions``: the values of each,
        and ``noise_gain``, 1 where it is not said.
    device : device
    """

    def __init__(
        self, model: LatentDiffusion, facts: Mapping[str, object], device: torch.device
    ) -> None:
        self.model = model.to(device, memory_format=torch.channels_last).eval()
        self.device = device
        side = int(facts["size"]) // COMPRESSION
        self.shape = (int(facts["channels"]), side, side)
        self.conditions = {name: tuple(values) for name, values in facts["conditions"].items()}
        self.counts = tuple(map(len, self.conditions.values()))
        self.noise_gain = float(facts.get("noise_gain", 1.0))

    @property
    def latent_size(self) -> int:
        """Length of a latent vector."""
        return math.prod(self.shape)

    def sample(
        self,
        latents: NDArray[np.float32],
        condition: NDArray[np.int64] | None = None,
        *,
        steps: int = 50,
        guidance: float = 1.0,
        noise_gain: float | None = None,
    ) -> dict[str, NDArray[np.generic]]:
        """Return ``image`` and, where classes were asked for, ``label``.

        Parameters
        ----------
        latents : ndarray of float32, shape (n, channels * (size / 8)^2)
            Standard normal values: the noise that the images are made from.
        condition : ndarray of int64, shape (n,), optional
            Number of a class among all combinations of the conditions' values, the last condition
            changing fastest: of (no_finding, pneumonia) and (AP, PA), 2 is pneumonia in AP.
            Default: whatever the noise leads to.
        steps : int
            Of the way from noise to image, 1 to 1,000: more take longer.
        guidance : float
            How strongly samples are driven towards their class, 0 to 20: 0 leaves the class out,
            1 takes it as learnt, more makes samples more typical and less varied.
        noise_gain : float, optional
            By how much all steps together enlarge the noise that is left, 0.5 to 4: 1 is plain
            DDIM, more makes samples rougher. Default: what was chosen when the weights were
            trained.

        Returns
        -------
        dict
            ``image``, float32 of shape (n, 1, size, size) in [0, 1], and ``label``, int64 of
            shape (n,).

        Raises
        ------
        ValueError
            If an argument has another shape, type or range.
        """
        noise = self._noise(latents)
        classes = self._classes(condition, len(noise))
        if type(steps) is not int or not 1 <= steps <= STEPS:
            raise ValueError(f"steps: got {steps!r}, expected a whole number from 1 to {STEPS}.")
        if type(guidance) not in (int, float) or not 0 <= guidance <= LARGEST_GUIDANCE:
            raise ValueError(
                f"guidance: got {guidance!r}, expected a number from 0 to {LARGEST_GUIDANCE:g}."
            )
        pixels = self.model.draw(
            noise,
            classes,
            steps=steps,
            guidance=float(guidance),
            noise_gain=self._gain(noise_gain),
        )
        made: dict[str, NDArray[np.generic]] = {"image": ((pixels + 1) / 2).cpu().numpy()}
        return made if condition is None else made | {"label": np.asarray(condition)}

    def reconstruct(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Bring images, uint8 of shape (n, size, size), to latents and back."""
        pixels = torch.tensor(images[:, None], device=self.device).float() / 127.5 - 1
        with torch.inference_mode():
            made = self.model.autoencoder.decoder(self.model.autoencoder.encode(pixels)[0])
        return ((made[:, 0] + 1) * 127.5).round().clamp(0, 255).byte().cpu().numpy()

    def _noise(self, latents: NDArray[np.float32]) -> torch.Tensor:
        latents = np.asarray(latents, dtype=np.float32)
        if latents.ndim != 2 or latents.shape[1] != self.latent_size:
            raise ValueError(
                f"latents: got shape {latents.shape}, expected (n, {self.latent_size})."
            )
        return torch.tensor(latents, device=self.device).reshape(-1, *self.shape)

    def _gain(self, asked: float | None) -> float:
        if asked is None:
            return self.noise_gain
        least, most = NOISE_GAINS
        if type(asked) not in (int, float) or not least <= asked <= most:
            raise ValueError(
                f"noise_gain: got {asked!r}, expected a number from {least:g} to {most:g}."
            )
        return float(asked)

    def _classes(self, condition: NDArray[np.int64] | None, count: int) -> torch.Tensor:
        if condition is None:
            return torch.full((count, len(self.counts)), -1, device=self.device)
        if not self.counts:
            raise ValueError("condition: this model has one class, leave it out.")
        asked, total = np.asarray(condition), math.prod(self.counts)
        if asked.shape != (count,) or asked.dtype.kind not in "iu":
            raise ValueError(
                f"condition: got {asked.dtype} of shape {asked.shape}, expected ({count},) "
                "whole numbers."
            )
        if wrong := sorted({int(number) for number in asked if not 0 <= number < total}):
            raise ValueError(f"condition: got {wrong[0]}, expected 0 to {total - 1}.")
        columns = np.stack(np.unravel_index(asked, self.counts), axis=1)
        return torch.tensor(columns, dtype=torch.int64, device=self.device)


def load(weights: str | None = None, device: str = "cpu") -> Sampler:
    """Read weights as ``train.py`` writes them, by default those of the package."""
    with safe_open(weights or WEIGHTS, framework="pt") as file:
        facts = json.loads(file.metadata()["facts"])
        model = LatentDiffusion(
            facts["channels"],
            [len(values) for values in facts["conditions"].values()],
            facts["autoencoder_widths"],
            facts["unet_widths"],
        )
        # The file holds half precision; copying into the network turns it into float32.
        model.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    return Sampler(model, facts, torch.device(device))
