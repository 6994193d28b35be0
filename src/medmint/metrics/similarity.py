"""How alike two images are, pixel by pixel and structure by structure."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medmint.errors import MetricError
from medmint.metrics.feature_sets import Floats, are_usable
from medmint.metrics.images import image_stack

#: Window of the structural similarity: a Gaussian of deviation 1.5 pixels, 11 taps.
_TAPS = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
_TAPS /= _TAPS.sum()
_K1, _K2 = 0.01, 0.03
#: Weights of the scales, finest first: Wang et al. 2003, section 3.2.
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def mse(real: ArrayLike, synthetic: ArrayLike) -> float:
    """Return the mean squared difference of two arrays of pixels.

    Parameters
    ----------
    real, synthetic : array_like of numbers, equal shapes
        Differences are taken in float64: those of unsigned integers do not wrap around.

    Returns
    -------
    float
        In the square of the pixels' unit.

    Raises
    ------
    MetricError
        If the shapes differ, nothing is in them or values are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> mse(np.zeros((2, 2), np.uint8), np.full((2, 2), 3, np.uint8))
    9.0
    """
    x, y = _pixel_pair(real, synthetic)
    return float(np.mean((x - y) ** 2))


def psnr(real: ArrayLike, synthetic: ArrayLike, *, data_range: float) -> float:
    """Return the peak signal-to-noise ratio of one image against another, ``10 log10(L^2 / MSE)``.

    For sets, take the mean of the images' values: the ratio of the pooled error is another number.

    Parameters
    ----------
    real, synthetic : array_like of numbers, equal shapes
    data_range : float
        Distance L from the lowest to the highest possible value, 255 for 8 bits. It has no
        default: guessed from the pixels it would differ from image to image.

    Returns
    -------
    float
        In decibels; infinity for equal images.

    Raises
    ------
    MetricError
        As `mse` does, and if the pixels spread further than ``data_range``.

    Examples
    --------
    >>> import numpy as np
    >>> round(psnr(np.zeros((2, 2)), np.full((2, 2), 0.1), data_range=1), 6)
    20.0
    """
    x, y = _ranged_pair(real, synthetic, data_range)
    error = float(np.mean((x - y) ** 2))
    return 10 * math.log10(data_range**2 / error) if error > 0 else math.inf


def ssim(
    real: ArrayLike, synthetic: ArrayLike, *, data_range: float, channel_axis: int | None = None
) -> float:
    """Return the structural similarity of two images or volumes.

    Gaussian window of deviation 1.5 and 11 taps, K1 = 0.01, K2 = 0.03, population variances, and
    the mean over the region in which the window lies wholly inside the image. Other conventions
    differ in the third digit: say which one a number is of.

    Parameters
    ----------
    real, synthetic : array_like of numbers, equal shapes
        (height, width) or (height, width, depth), each side at least 11, with or without
        channels.
    data_range : float
        Distance from the lowest to the highest possible value, 255 for 8 bits.
    channel_axis : int, optional
        Axis of the channels, over which the mean is taken. Default: all axes are space.

    Returns
    -------
    float
        At most 1, which is reached for equal images.

    Raises
    ------
    MetricError
        If shapes differ or are too small, values are not finite or spread further than
        ``data_range``.

    References
    ----------
    Wang et al., IEEE Trans. Image Processing 13(4), 2004, equation 13.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.random.default_rng(0).uniform(size=(32, 32))
    >>> ssim(image, image, data_range=1)
    1.0
    """
    x, y = _channels(real, synthetic, data_range, channel_axis)
    return _maps(x, y, data_range)[0]


def ms_ssim(
    real: ArrayLike, synthetic: ArrayLike, *, data_range: float, channel_axis: int | None = None
) -> float:
    """Return the structural similarity over several scales.

    The product of the contrast terms of the finer scales and the full similarity of the coarsest,
    each to the power of its weight; terms below 0 count as 0. Scales are halved by means of
    2 x 2 (x 2) pixels. Five scales need sides of at least 176; smaller images have as many as
    fit (`ms_ssim_scales`: four from 88, three from 44, two from 22), with weights that sum
    to one again. Numbers over different scales are not comparable: say how many they are of.

    Parameters
    ----------
    real, synthetic : array_like of numbers, equal shapes
        (height, width) or (height, width, depth), each side at least 11, with or without
        channels.
    data_range : float
        Distance from the lowest to the highest possible value, 255 for 8 bits.
    channel_axis : int, optional
        Axis of the channels, over which the mean is taken. Default: all axes are space.

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    MetricError
        As `ssim` does.

    References
    ----------
    Wang, Simoncelli and Bovik, Asilomar 2003, equation 7.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.random.default_rng(0).uniform(size=(48, 48))
    >>> ms_ssim(image, image, data_range=1)
    1.0
    """
    x, y = _channels(real, synthetic, data_range, channel_axis)
    scales = ms_ssim_scales(x.shape[1:])
    weights = np.array(_SCALE_WEIGHTS[:scales]) / sum(_SCALE_WEIGHTS[:scales])
    value = 1.0
    for scale, weight in enumerate(weights, start=1):
        full, contrast = _maps(x, y, data_range)
        value *= max(contrast if scale < scales else full, 0.0) ** float(weight)
        if scale < scales:
            x, y = _halved(x), _halved(y)
    return value


def ms_ssim_scales(shape: tuple[int, ...]) -> int:
    """Return over how many scales images of this shape are compared, at most five.

    Parameters
    ----------
    shape : tuple of int
        Sides without channels.

    Examples
    --------
    >>> ms_ssim_scales((256, 256)), ms_ssim_scales((128, 128)), ms_ssim_scales((48, 64, 48))
    (5, 4, 3)
    """
    fitting = [s for s in range(len(_SCALE_WEIGHTS)) if min(shape) >> s >= len(_TAPS)]
    if not fitting:
        raise MetricError("images", f"shape {tuple(shape)}", f"sides of at least {len(_TAPS)}")
    return len(fitting)


def pairwise_ms_ssim(
    images: ArrayLike, *, pairs: int, seed: int, data_range: float
) -> tuple[float, float]:
    """Return mean and deviation of the similarity of random pairs of a set: its lack of diversity.

    Low is diverse. It has a meaning only beside the number of the real set: medical images are
    alike. A model that returns one image has 1.

    Parameters
    ----------
    images : array_like, shape (n, height, width[, 3]) or volumes (n, height, width, depth[, 3])
        As feature extractors take them, n at least 2, sides at least 11.
    pairs : int
        Pairs of different images, drawn without replacement; all pairs where there are no more.
    seed : int
        Seed of the draw.
    data_range : float
        Distance from the lowest to the highest possible value, 255 for 8 bits.

    Returns
    -------
    mean : float
        From 0 to 1, over `ms_ssim_scales` scales.
    deviation : float
        Over the pairs.

    Raises
    ------
    MetricError
        As `ms_ssim` does, and if there are fewer than two images or no pair is asked for.

    References
    ----------
    Odena et al., ICML 2017 (arXiv:1610.09585), section 4.2.

    Examples
    --------
    >>> import numpy as np
    >>> pairwise_ms_ssim(np.zeros((3, 16, 16)), pairs=3, seed=0, data_range=1)
    (1.0, 0.0)
    """
    stack = image_stack(images)
    count = len(stack) * (len(stack) - 1) // 2
    if len(stack) < 2:
        raise MetricError("images", "one image", "at least 2 images")
    if pairs < 1:
        raise MetricError("pairs", str(pairs), "at least 1 pair")
    drawn = np.random.default_rng(seed).choice(count, min(pairs, count), replace=False)
    values = [
        ms_ssim(stack[i], stack[j], data_range=data_range, channel_axis=-1)
        for i, j in (_pair(int(number)) for number in drawn)
    ]
    return float(np.mean(values)), float(np.std(values))


def _pair(number: int) -> tuple[int, int]:
    """Return the pair with this number in (1, 0), (2, 0), (2, 1), (3, 0), ..."""
    larger = (math.isqrt(8 * number + 1) + 1) // 2
    return larger, number - larger * (larger - 1) // 2


def _pixel_pair(real: ArrayLike, synthetic: ArrayLike) -> tuple[Floats, Floats]:
    x, y = _pixels("real", real), _pixels("synthetic", synthetic)
    if x.shape != y.shape:
        raise MetricError("images", f"shapes {x.shape} and {y.shape}", "equal shapes")
    return x, y


def _pixels(name: str, image: ArrayLike) -> Floats:
    try:
        array: NDArray[Any] = np.asarray(image)
    except (TypeError, ValueError, RuntimeError) as error:
        raise MetricError(name, type(image).__name__, "an array of numbers") from error
    if array.dtype.kind not in "fiub" or not array.size:
        raise MetricError(name, f"an array of {array.dtype}, shape {array.shape}", "pixels")
    if not are_usable(array):
        raise MetricError(name, "pixels that are not finite or too large", "finite pixels")
    return array.astype(np.float64)


def _ranged_pair(real: ArrayLike, synthetic: ArrayLike, data_range: float) -> tuple[Floats, Floats]:
    x, y = _pixel_pair(real, synthetic)
    if not (math.isfinite(data_range) and data_range > 0):
        raise MetricError("data_range", repr(data_range), "a number above 0")
    spread = max(x.max(), y.max()) - min(x.min(), y.min())
    if spread > data_range * (1 + 1e-6):
        raise MetricError(
            "data_range", repr(data_range), f"at least {spread:g}, which the pixels spread over"
        )
    return x, y


def _channels(
    real: ArrayLike, synthetic: ArrayLike, data_range: float, channel_axis: int | None
) -> tuple[Floats, Floats]:
    """Return both images with the channels first."""
    x, y = _ranged_pair(real, synthetic, data_range)
    if channel_axis is None:
        x, y = x[None], y[None]
    elif not -x.ndim <= channel_axis < x.ndim:
        raise MetricError("channel_axis", str(channel_axis), f"an axis of shape {x.shape}")
    else:
        x, y = np.moveaxis(x, channel_axis, 0), np.moveaxis(y, channel_axis, 0)
    if x.ndim not in (3, 4) or min(x.shape[1:]) < len(_TAPS):
        raise MetricError(
            "images", f"shape {np.shape(real)}", f"2 or 3 axes of at least {len(_TAPS)} pixels"
        )
    return x, y


def _maps(x: Floats, y: Floats, data_range: float) -> tuple[float, float]:
    """Return the means of the similarity and of its contrast term."""
    mean_x, mean_y = _blurred(x), _blurred(y)
    variances = (_blurred(x * x) - mean_x**2) + (_blurred(y * y) - mean_y**2)
    covariance = _blurred(x * y) - mean_x * mean_y
    c1, c2 = (_K1 * data_range) ** 2, (_K2 * data_range) ** 2
    contrast = (2 * covariance + c2) / (variances + c2)
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return float((luminance * contrast).mean()), float(contrast.mean())


def _blurred(channels: Floats) -> Floats:
    """Return the weighted means of all windows that lie wholly inside."""
    from scipy.ndimage import correlate1d

    half = len(_TAPS) // 2
    for axis in range(1, channels.ndim):
        channels = correlate1d(channels, _TAPS, axis=axis)
        inside = [slice(None)] * channels.ndim
        inside[axis] = slice(half, -half)
        channels = channels[tuple(inside)]
    return channels


def _halved(channels: Floats) -> Floats:
    for axis in range(1, channels.ndim):
        even = channels.shape[axis] // 2 * 2
        pairs = np.moveaxis(channels, axis, 0)[:even]
        channels = np.moveaxis((pairs[::2] + pairs[1::2]) / 2, 0, axis)
    return channels
