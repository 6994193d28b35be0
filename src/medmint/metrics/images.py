"""Stacks of images as metrics take them: shapes, types, and how values become grey levels."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medmint.errors import MetricError

Normalisation = Literal["none", "minmax", "percentile"]
NORMALISATIONS: tuple[Normalisation, ...] = ("none", "minmax", "percentile")
#: A last axis from here on holds the slices of a volume; 1 and 3 are channels, the rest is refused.
LEAST_SLICES = 8
#: What the percentile normalisation clips away at either end, per cent.
CLIPPED = 0.5
_TYPES = ("uint8", "uint16", "int16", "float16", "float32", "float64")
_SHAPES = (
    "shape (n, height, width), (n, height, width, 3), (n, height, width, depth) with a depth of "
    f"at least {LEAST_SLICES}, or (n, height, width, depth, 1 or 3)"
)


def image_stack(images: ArrayLike) -> NDArray[Any]:
    """Return images with a channel axis, or say why they are none.

    Parameters
    ----------
    images : array_like of uint8, uint16, int16 or float
        (n, height, width) grey, (n, height, width, 3) colour, (n, height, width, depth) volumes
        of at least 8 slices; with an axis of 1 or 3 channels at the end volumes may be thinner.

    Returns
    -------
    ndarray, shape (n, height, width, channels) or (n, height, width, depth, channels)
        In the type given; a view where possible.

    Raises
    ------
    MetricError
        If the shape or type is another, there is no image, or pixels are not finite.

    Examples
    --------
    >>> image_stack(np.zeros((2, 8, 8))).shape, image_stack(np.zeros((2, 8, 8, 20))).shape
    ((2, 8, 8, 1), (2, 8, 8, 20, 1))
    """
    try:
        stack = np.asarray(images)
    except (TypeError, ValueError, RuntimeError) as error:
        raise MetricError("images", type(images).__name__, "one array of equal images") from error
    if stack.dtype.name not in _TYPES:
        raise MetricError("images", f"an array of {stack.dtype}", f"one of {', '.join(_TYPES)}")
    if stack.ndim == 3 or (stack.ndim == 4 and stack.shape[-1] >= LEAST_SLICES):
        stack = stack[..., None]
    if stack.ndim not in (4, 5) or stack.shape[-1] not in (1, 3) or not stack.size:
        raise MetricError("images", f"shape {np.shape(images)}", _SHAPES)
    if stack.dtype.kind == "f":
        for number, image in enumerate(stack):
            if not np.isfinite(image).all():
                raise MetricError("images", f"image {number} with NaN or infinity", "finite pixels")
    return stack


def signed_unit(
    stack: NDArray[Any],
    normalisation: Normalisation = "none",
    window: tuple[float, float] | None = None,
) -> NDArray[np.float32]:
    """Map pixels to the range from -1 (black) to 1 (white), all bits kept.

    Parameters
    ----------
    stack : ndarray, shape (n, ..., channels)
        As `image_stack` returns it.
    normalisation : {"none", "minmax", "percentile"}
        ``"none"``: the type says what black and white are, 0 and 255 for uint8, 0 and 65535 for
        uint16, 0 and 1 for floats. ``"minmax"``: the lowest and highest value of each image, or
        volume. ``"percentile"``: its 0.5 and 99.5 percentiles; values beyond are clipped. An
        image of one value becomes black.
    window : (float, float), optional
        Values that are black and white for all images, such as (-1000, 400) in Hounsfield
        units; values beyond are clipped. Not together with a normalisation.

    Returns
    -------
    ndarray of float32, same shape

    Raises
    ------
    MetricError
        If int16 or floats beyond 0 and 1 come without window and normalisation.

    Examples
    --------
    >>> signed_unit(np.array([[[[0], [51]]]], dtype=np.uint8)).ravel().tolist()
    [-1.0, -0.6000000238418579]
    """
    if normalisation != "none":
        low, high = _bounds(stack, normalisation)
        return _between(stack, low, high)
    if window is not None:
        return _between(stack, *(np.float64(value) for value in window))
    if stack.dtype == np.uint8:
        return np.asarray(stack.astype(np.float32) / np.float32(127.5) - np.float32(1))
    if stack.dtype == np.uint16:
        return np.asarray(stack.astype(np.float32) / np.float32(32767.5) - np.float32(1))
    if stack.dtype == np.int16 or stack.min() < 0 or stack.max() > 1:
        given = f"{stack.dtype} from {stack.min():g} to {stack.max():g}"
        allowed = 'floats from 0 to 1, or a window=(low, high) or normalisation="minmax" for these'
        raise MetricError("images", given, allowed)
    return np.asarray(stack.astype(np.float32) * np.float32(2) - np.float32(1))


def check_normalisation(normalisation: str, window: tuple[float, float] | None) -> None:
    """Refuse a normalisation that is not known, and a window that is none.

    Raises
    ------
    MetricError
        If so.
    """
    if normalisation not in NORMALISATIONS:
        raise MetricError("normalisation", repr(normalisation), f"one of {NORMALISATIONS}")
    if window is None:
        return
    if normalisation != "none":
        raise MetricError("window", f"{window} beside {normalisation!r}", "one of the two")
    if len(window) != 2 or not all(map(math.isfinite, window)) or not window[0] < window[1]:
        raise MetricError("window", repr(window), "two numbers, the lower one first")


def _bounds(
    stack: NDArray[Any], normalisation: Normalisation
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    axes = tuple(range(1, stack.ndim))
    if normalisation == "minmax":
        low, high = stack.min(axis=axes, keepdims=True), stack.max(axis=axes, keepdims=True)
    else:
        low, high = np.percentile(stack, (CLIPPED, 100 - CLIPPED), axis=axes, keepdims=True)
    return low.astype(np.float64), high.astype(np.float64)


def _between(
    stack: NDArray[Any],
    low: NDArray[np.float64] | np.float64,
    high: NDArray[np.float64] | np.float64,
) -> NDArray[np.float32]:
    width = np.where(high > low, high - low, 1.0)
    shares = np.clip((stack - low) / width, 0, 1)
    return np.asarray(shares * 2 - 1, dtype=np.float32)
