"""Randomised CT head phantoms with a lesion and its mask: mathematics only, no patients.

``load`` returns a sampler; ``sample`` maps latent vectors of 32 standard normal values to slices
of 256 x 256 pixels in Hounsfield units. The same latent vector gives the same slice whatever else
is in the batch, and a small step in it gives a small change, noise included (the one jump: lesions
turn from darker to brighter where value 26 crosses zero).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .phantom import LATENT_SIZE, SIDE, draw, parameters

#: Cells along each side of the grid from which the smooth texture is interpolated.
TEXTURE_CELLS = 20
#: How fast noise changes with the latent vector: at 0.5, two independent vectors share nothing.
FREQUENCY = 0.5
LOWEST_HU, HIGHEST_HU = -1024, 3071
#: Deviation of white noise after smoothing along both axes with the weights 1/4, 1/2, 1/4.
SMOOTHED_DEVIATION = 0.375


class Noise:
    """Random fields that are continuous functions of a latent vector.

    Each point is ``sqrt(2) cos(w . z + b)`` with its own fixed random w and b, as in random
    Fourier features (Rahimi and Recht, NIPS 2007): mean 0, deviation 1, correlation
    ``exp(-|FREQUENCY (z1 - z2)|^2 / 2)`` between two latent vectors, none between two points.
    """

    def __init__(self, side: int, seed: int) -> None:
        generator = np.random.Generator(np.random.PCG64(seed))
        shape = (LATENT_SIZE, side * side)
        self.side = side
        self.frequencies = FREQUENCY * generator.standard_normal(shape, dtype=np.float32)
        self.phases = 2 * np.pi * generator.random(side * side, dtype=np.float32)

    def __call__(self, latent: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the field of one latent vector, shape (side, side)."""
        field = np.cos(latent @ self.frequencies + self.phases) * np.float32(np.sqrt(2))
        return field.reshape(self.side, self.side)


class Sampler:
    """Draw phantoms from latent vectors."""

    def __init__(self) -> None:
        self.grain = Noise(SIDE, seed=1)
        self.texture = Noise(TEXTURE_CELLS, seed=2)
        self.stretch = _interpolation(TEXTURE_CELLS, SIDE)

    def sample(
        self,
        latents: NDArray[np.float32],
        condition: NDArray[np.int64] | None = None,
        *,
        noise: float = 8.0,
    ) -> dict[str, NDArray[np.generic]]:
        """Return ``image`` in Hounsfield units and ``mask`` of the lesion.

        Parameters
        ----------
        latents : ndarray of float32, shape (n, 32)
            Standard normal values; ``phantom.PARAMETERS`` says what each of them decides.
        condition : None
            The phantom has no classes.
        noise : float
            Deviation of the noise in Hounsfield units, at least 0.

        Returns
        -------
        dict
            ``image``, int16 of shape (n, 1, 256, 256), and ``mask``, uint8 of the same shape with
            0 and 255.

        Raises
        ------
        ValueError
            If the latents have another shape, a condition is given or the noise is negative.
        """
        latents = np.asarray(latents, dtype=np.float32)
        if latents.ndim != 2 or latents.shape[1] != LATENT_SIZE:
            raise ValueError(f"latents: got shape {latents.shape}, expected (n, {LATENT_SIZE}).")
        if condition is not None:
            raise ValueError("condition: this phantom has no classes, leave it out.")
        if not noise >= 0:
            raise ValueError(f"noise: got {noise}, expected a deviation of at least 0 HU.")
        images = np.empty((len(latents), 1, SIDE, SIDE), dtype=np.int16)
        masks = np.empty(images.shape, dtype=np.uint8)
        # One at a time: memory stays small, and rounding cannot depend on the batch.
        for i, latent in enumerate(latents):
            texture = self.stretch @ self.texture(latent) @ self.stretch.T
            image, lesion = draw(parameters(latent), texture)
            image += np.float32(noise / SMOOTHED_DEVIATION) * _smooth(self.grain(latent))
            images[i, 0] = np.clip(np.rint(image), LOWEST_HU, HIGHEST_HU)
            masks[i, 0] = lesion * np.uint8(255)
        return {"image": images, "mask": masks}


def load(
    weights: str | None = None,
    device: str = "cpu",  # noqa: ARG001 - part of the contract
) -> Sampler:
    """Return the sampler. There are no weights, and it always runs on the CPU."""
    if weights is not None:
        raise ValueError(f"weights: got {weights!r}, but a phantom has none.")
    return Sampler()


def _smooth(field: NDArray[np.float32]) -> NDArray[np.float32]:
    """Blur a little, with opposite sides joined: noise of a scanner is correlated over pixels."""
    for axis in (0, 1):
        field = field / 2 + (np.roll(field, 1, axis) + np.roll(field, -1, axis)) / 4
    return field


def _interpolation(cells: int, side: int) -> NDArray[np.float32]:
    """Return the (side, cells) matrix of a Gaussian interpolation that keeps unit deviation."""
    centres = (np.arange(cells) + 0.5) * side / cells
    gap = (np.arange(side)[:, None] + 0.5 - centres) * cells / side
    weights = np.exp(-(gap**2))
    return (weights / np.linalg.norm(weights, axis=1, keepdims=True)).astype(np.float32)
