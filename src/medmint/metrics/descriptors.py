"""Hand-made descriptors of images: no network, no weights, and each number has a meaning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medmint.metrics.feature_sets import Floats
from medmint.metrics.images import Normalisation
from medmint.metrics.presets import PRESETS

if TYPE_CHECKING:
    import torch

PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99)
GRADIENT_PERCENTILES = (50, 90, 99)
#: Deviations of the Laplacians of Gaussians, in pixels of the 128 x 128 image.
SCALES = (1.0, 2.0, 4.0, 8.0)
BANDS = 12
#: Power below this, in grey levels squared, is rounding and counts as this.
_LEAST_POWER = 1e-2

Grey = NDArray[np.float64]


class Descriptors:
    """Forty-six radiomic-style numbers per image: brightness, edges, blobs, texture, colour.

    On the grey levels of the image at 128 x 128: 9 percentiles, mean, deviation, skewness and
    kurtosis; 3 percentiles, mean and deviation of the gradient's length; deviation, skewness
    and kurtosis of the Laplacian of Gaussian at 4 scales; the logarithm of the power in 12 bands
    of frequency; mean and deviation of the two colour differences (0 for grey images).
    Percentiles and bands stand as the coefficients of their cosine transform: on a black
    background the lowest percentiles alone would be 0 but for a stray image, which then carried
    the whole distance.

    They have units of their own: put them on the scale of the real set (`standardise`) before
    distances are taken. Distances are ``frechet_distance[descriptors]``, never FID.

    Parameters
    ----------
    normalisation : {"none", "minmax", "percentile"}
        Per image or volume, as in `Preset`.
    window : (float, float), optional
        Values that are black and white, in place of a normalisation.

    References
    ----------
    Features of these classes are defined in Zwanenburg et al., Radiology 295(2), 2020 (image
    biomarker standardisation initiative); the selection is medmint's own.

    Examples
    --------
    >>> import numpy as np
    >>> Descriptors()(np.zeros((2, 32, 32), dtype=np.uint8)).shape
    (2, 46)
    """

    name = "descriptors"
    weights_sha256 = None
    chunk = 64

    def __init__(
        self, *, normalisation: Normalisation = "none", window: tuple[float, float] | None = None
    ) -> None:
        self._preset = PRESETS["signed_128"].adapted(normalisation, window)

    @property
    def preset(self) -> Mapping[str, Any]:
        """How images are made ready, as results write it down."""
        return self._preset.record()

    def __call__(self, images: ArrayLike) -> Floats:
        """Return one vector per image, or per volume the mean over its slices.

        Parameters
        ----------
        images : array_like
            As `image_stack` takes them.

        Returns
        -------
        ndarray of float64, shape (n, 46)

        Raises
        ------
        MetricError
            If the images are none.
        """
        return self._preset.features(images, _describe_batch, chunk=self.chunk)


def _describe_batch(pixels: torch.Tensor) -> Floats:
    levels = ((pixels.double() + 1) * 127.5).numpy()
    return np.stack([_describe(image) for image in levels])


def _describe(levels: NDArray[np.float64]) -> Floats:
    red, green, blue = levels
    grey = levels.mean(axis=0)
    colour = [red - green, (red + green) / 2 - blue]
    return np.array(
        [
            *_curve(np.percentile(grey, PERCENTILES)),
            grey.mean(),
            *_moments(grey),
            *_edges(grey),
            *(moment for scale in SCALES for moment in _moments(_blobs(grey, scale))),
            *_curve(_spectrum(grey)),
            *(value for plane in colour for value in (plane.mean(), plane.std())),
        ]
    )


def _curve(values: Floats) -> Floats:
    """Return the coefficients of an orthonormal cosine transform."""
    from scipy.fft import dct

    return np.asarray(dct(values, norm="ortho"))


def _moments(values: Grey) -> tuple[float, float, float]:
    """Return deviation, skewness and kurtosis; the latter two are 0 where nothing varies."""
    centred = values - values.mean()
    deviation = float(np.sqrt(np.mean(centred**2)))
    # Single precision leaves this much of an even image.
    if deviation < 1e-3:
        return deviation, 0.0, 0.0
    standard = centred / deviation
    squares = standard * standard
    return deviation, float(np.mean(squares * standard)), float(np.mean(squares * squares))


def _edges(grey: Grey) -> list[float]:
    down, across = np.gradient(grey)
    lengths = np.hypot(down, across)
    curve = _curve(np.percentile(lengths, GRADIENT_PERCENTILES))
    return [*curve, lengths.mean(), lengths.std()]


def _blobs(grey: Grey, scale: float) -> Grey:
    from scipy.ndimage import gaussian_laplace

    # Times the square of the scale, so that responses at different scales compare.
    return np.asarray(gaussian_laplace(grey, scale) * scale**2)


def _spectrum(grey: Grey) -> Floats:
    """Return the logarithm of the mean power in bands of equal width up to half a cycle a pixel."""
    taper = np.hanning(len(grey))
    faded = (grey - grey.mean()) * taper[:, None] * taper
    power = np.abs(np.fft.rfft2(faded)) ** 2 / faded.size
    down, across = np.fft.fftfreq(len(grey)), np.fft.rfftfreq(len(grey))
    bands = (np.hypot(down[:, None], across) * 2 * BANDS).astype(int)
    inside = bands < BANDS
    sums = np.bincount(bands[inside], weights=power[inside], minlength=BANDS)
    means = sums / np.bincount(bands[inside], minlength=BANDS)
    return np.asarray(np.log10(np.maximum(means, _LEAST_POWER)))
