"""The smallest sampler package: latent vectors to soft blobs of 32 x 32 pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

LATENT_SIZE, SIDE = 8, 32


class Sampler:
    """Mix smooth patterns, one per latent value."""

    def __init__(self, weights: Path) -> None:
        self.patterns = load_file(weights)["patterns"].astype(np.float32)

    def sample(
        self,
        latents: np.ndarray,
        condition: np.ndarray | None = None,  # noqa: ARG002 - for models with classes
        *,
        contrast: float = 1.0,
    ) -> dict[str, np.ndarray]:
        """Return ``image``, float32 of shape (n, 1, 32, 32) in [0, 1]."""
        # Row by row: a product of the whole batch may round differently for another batch size.
        mixed = np.stack([latent @ self.patterns for latent in latents.astype(np.float32)])
        images = 1 / (1 + np.exp(np.float32(-contrast) * mixed))
        return {"image": images.reshape(-1, 1, SIDE, SIDE)}


def load(
    weights: str | None = None,
    device: str = "cpu",  # noqa: ARG001 - for models that can use a GPU
) -> Sampler:
    """Read the weights once; ``sample`` is then called for every batch."""
    return Sampler(Path(weights or Path(__file__).parent / "weights.safetensors"))
