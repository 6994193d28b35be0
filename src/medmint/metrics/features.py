"""Turn images into feature vectors, so that sets of images can be compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from medmint.metrics.feature_sets import Floats
from medmint.metrics.images import Normalisation
from medmint.metrics.presets import PRESETS

if TYPE_CHECKING:
    import torch

#: A feature whose deviation on the real set is below this share of the median deviation is
#: divided by that floor instead: one nearly dead channel would otherwise carry the whole distance.
DEVIATION_FLOOR = 0.01


class SeededConvolution:
    """Features of a fixed random convolutional network: no weights to download, offline at once.

    Three 3 x 3 convolutions with 64 channels each (stride 1, then 2), He-scaled weights drawn
    from NumPy's PCG64, rectified. Every kernel slice sums to zero, so that the responses are to
    texture and edges rather than to brightness; without this the features cannot tell a sample
    of a Gaussian fitted to the pixels from a real image. The spatial means of the three levels
    and the mean and deviation of each colour are the 198 features.
    Numbers from it are never to be called "FID": say ``frechet_distance[seeded_convolution]``.

    Parameters
    ----------
    seed : int
        Seed of the weights. Distances are comparable only under the same seed.
    normalisation : {"none", "minmax", "percentile"}
        Per image or volume, as in `Preset`.
    window : (float, float), optional
        Values that are black and white, in place of a normalisation.

    Examples
    --------
    >>> import numpy as np
    >>> images = np.zeros((2, 32, 32, 3), dtype=np.uint8)
    >>> SeededConvolution()(images).shape
    (2, 198)
    """

    name = "seeded_convolution"
    weights_sha256 = None
    channels = 64
    levels = 3
    #: Measured: memory for more images at once is handed out anew each time, and takes longer to
    #: come than the convolutions, three times as long per image at 64.
    chunk = 2

    def __init__(
        self,
        seed: int = 0,
        *,
        normalisation: Normalisation = "none",
        window: tuple[float, float] | None = None,
    ) -> None:
        self.seed = seed
        self._preset = PRESETS["signed_128"].adapted(normalisation, window)

    @property
    def preset(self) -> Mapping[str, Any]:
        """How images are made ready and the seed of the weights, as results write them down."""
        return self._preset.record() | {"seed": self.seed}

    def __call__(self, images: ArrayLike) -> Floats:
        """Return one feature vector per image, or per volume the mean over its slices.

        Parameters
        ----------
        images : array_like of uint8, uint16, int16 or float
            As `image_stack` takes them. Grey images are repeated over three channels; other
            sizes are resized to 128 x 128.

        Returns
        -------
        ndarray of float64, shape (n, 198)

        Raises
        ------
        MetricError
            If the array has another shape or type, or values that have no grey level.
        """
        weights = self._weights()
        return self._preset.features(
            images, lambda pixels: self._features(pixels, weights), chunk=self.chunk
        )

    def _weights(self) -> list[torch.Tensor]:
        import torch

        generator = np.random.Generator(np.random.PCG64(self.seed))
        widths = [3] + [self.channels] * self.levels
        kernels = []
        for inputs, outputs in pairwise(widths):
            kernel = generator.standard_normal((outputs, inputs, 3, 3), dtype=np.float32)
            kernel *= np.float32(np.sqrt(2 / (inputs * 9)))
            kernel -= kernel.mean(axis=(2, 3), keepdims=True)
            kernels.append(torch.from_numpy(kernel))
        return kernels

    @staticmethod
    def _features(pixels: torch.Tensor, weights: list[torch.Tensor]) -> Floats:
        import torch
        from torch.nn import functional

        summary = [pixels.mean(dim=(2, 3)), pixels.std(dim=(2, 3))]
        with torch.inference_mode():
            for level, kernel in enumerate(weights):
                stride = 1 if level == 0 else 2
                pixels = functional.conv2d(pixels, kernel, stride=stride, padding=1).relu()
                summary.append(pixels.mean(dim=(2, 3)))
        return torch.cat(summary, dim=1).double().numpy()


def standardise(real: Floats, *others: Floats) -> Iterator[Floats]:
    """Centre and scale feature sets by the mean and the floored deviation of the real set.

    Parameters
    ----------
    real : ndarray of float64, shape (n, d)
        The reference features. They are yielded first.
    *others : ndarray of float64, shape (m, d)
        Features to put on the same scale.

    Yields
    ------
    ndarray of float64
        Each set, in the order given.

    Examples
    --------
    >>> import numpy as np
    >>> real, fake = standardise(np.array([[0.0, 1.0], [2.0, 1.0]]), np.array([[3.0, 1.0]]))
    >>> fake[0, 0]
    np.float64(2.0)
    """
    mean, deviation = real.mean(axis=0), real.std(axis=0)
    median = float(np.median(deviation))
    scale = np.maximum(deviation, median * DEVIATION_FLOOR if median > 0 else 1.0)
    for features in (real, *others):
        yield (features - mean) / scale
