"""What a learned model is to be better than: a Gaussian fitted to the pixels of real images."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from medmint.errors import MetricError

Bytes = NDArray[np.uint8]

#: Numbers of components to choose from on val, besides all that there are.
COMPONENTS = (50, 100, 200, 400)


class PixelGaussian:
    """Images drawn from a Gaussian with the mean and the main components of a set of images.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, ...)
        Real images or volumes, at least three.

    Examples
    --------
    >>> images = np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8)
    >>> PixelGaussian(images).draw(5, components=10, seed=0).shape
    (5, 8, 8)
    """

    def __init__(self, images: Bytes) -> None:
        if len(images) < 3:
            raise MetricError("images", f"{len(images)} images", "at least 3")
        pixels = images.reshape(len(images), -1).astype(np.float32)
        self._shape, self._mean = images.shape[1:], pixels.mean(axis=0)
        centred = (pixels - self._mean) / np.float32(np.sqrt(len(images) - 1))
        # The Gram matrix of n images is far smaller than the covariance of their pixels.
        variances, vectors = np.linalg.eigh(centred @ centred.T)
        # Centring takes one dimension; its eigenvalue is rounding alone.
        order = np.argsort(variances)[::-1][: len(images) - 1]
        # Rows are principal directions, each as long as its deviation.
        self._directions: NDArray[np.float32] = vectors[:, order].T @ centred

    @property
    def most(self) -> int:
        """How many components there are."""
        return len(self._directions)

    def draw(self, count: int, *, components: int, seed: int) -> Bytes:
        """Return images made of the first components.

        Parameters
        ----------
        count, components, seed : int

        Returns
        -------
        ndarray of uint8, shape (count, ...)
        """
        directions = self._directions[:components]
        random = np.random.default_rng(seed)
        amounts = random.standard_normal((count, len(directions)), dtype=np.float32)
        pixels = np.clip(np.rint(self._mean + amounts @ directions), 0, 255)
        return np.asarray(pixels.astype(np.uint8).reshape(count, *self._shape))


def compare_components(
    gaussian: PixelGaussian,
    distance: Callable[[Bytes], float],
    *,
    count: int,
    draws: int,
    choices: Sequence[int] = COMPONENTS,
) -> dict[int, float]:
    """Return the mean distance to val for each number of components.

    Parameters
    ----------
    gaussian : PixelGaussian
    distance : callable
        Distance of a set of images to val.
    count, draws : int
        Images in each draw, and draws.
    choices : sequence of int
        Those that there are components for are tried, and all components.
    """
    means = {}
    for components in [*(k for k in choices if k < gaussian.most), gaussian.most]:
        drawn = (gaussian.draw(count, components=components, seed=seed) for seed in range(draws))
        means[components] = float(np.mean([distance(images) for images in drawn]))
    return means
