"""Volumes of 48 x 64 x 48 mm around the hippocampus with its two parts, from latent diffusion.

``load`` returns a sampler; ``sample`` maps latent vectors of standard normal values to MR volumes
and label maps: 0 background, 1 anterior, 2 posterior. Axes lead to the right, to the front and up.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from scipy import ndimage

from .network import LABELS, NOISE_STEPS, VolumeModel

WEIGHTS = Path(__file__).resolve().parent / "weights.safetensors"


class Sampler:
    """A trained model on one device."""

    def __init__(self, model: VolumeModel, device: torch.device) -> None:
        self.model = model.to(device).eval()
        self.device = device
        self.latent_size = model.latent_size

    @torch.inference_mode()
    def sample(
        self,
        latents: NDArray[np.float32],
        condition: NDArray[np.int64] | None = None,
        *,
        steps: int = 50,
        largest_only: bool = True,
    ) -> dict[str, NDArray[np.generic]]:
        """Return ``image`` and ``mask``.

        Parameters
        ----------
        latents : ndarray of float32, shape (n, 2304)
            Standard normal values; they alone fix the sample.
        condition : None
            The model has one class.
        steps : int
            Steps of the deterministic solver, 1 to 1,000.
        largest_only : bool
            Keep the largest piece of each label alone.

        Returns
        -------
        dict
            ``image``, float32 of shape (n, 1, 48, 64, 48) in [0, 1], 0 outside a box, and
            ``mask``, uint8 of the same shape with 0, 1 and 2.

        Raises
        ------
        ValueError
            If the latents have another shape, a condition is given or the steps are out of range.
        """
        latents = np.asarray(latents, dtype=np.float32)
        if latents.ndim != 2 or latents.shape[1] != self.latent_size:
            expected = f"(n, {self.latent_size})"
            raise ValueError(f"latents: got shape {latents.shape}, expected {expected}.")
        if condition is not None:
            raise ValueError("condition: this model has one class, leave it out.")
        if isinstance(steps, bool) or steps not in range(1, NOISE_STEPS + 1):
            raise ValueError(f"steps: got {steps}, expected 1 to {NOISE_STEPS}.")
        noise = torch.tensor(latents, device=self.device)
        images, labels = self.model.decode(self.model.denoise(noise, steps), noise)
        masks = labels.cpu().numpy()
        if largest_only:
            masks = keep_largest(masks)
        return {"image": images.cpu().numpy(), "mask": masks}


def keep_largest(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return label maps (n, 1, x, y, z) without any but the largest piece of each label."""
    kept = np.zeros_like(labels)
    for one, other in zip(labels[:, 0], kept[:, 0], strict=True):
        for label in range(1, LABELS):
            pieces, count = ndimage.label(one == label)
            if count:
                sizes = np.bincount(pieces.ravel())
                other[pieces == 1 + sizes[1:].argmax()] = label
    return kept


def load(weights: str | None = None, device: str = "cpu") -> Sampler:
    """Read weights as ``train.py`` writes them, by default those of the package.

    Raises
    ------
    FileNotFoundError
        If the package has come without its weights, as in the wheel of medmint.
    """
    path = Path(weights or WEIGHTS)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is not there. These weights are under CC BY-SA 4.0 and therefore no part of "
            "the wheel: take the file from templates/volume_hippocampus of medmint's repository "
            "and pass it as weights, or make it with train.py."
        )
    with safe_open(path, framework="pt") as file:
        facts = file.metadata()
        model = VolumeModel(
            [int(side) for side in facts["shape"].split()],
            widths=[int(width) for width in facts["widths"].split()],
            channels=int(facts["channels"]),
            width=int(facts["width"]),
        )
        # The file holds half precision; copying into the network turns it into float32.
        model.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    return Sampler(model, torch.device(device))
