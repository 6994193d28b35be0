"""Sets of feature vectors: checked once, read in blocks, so that no copy of a large set is made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medmint.errors import MetricError

Floats = NDArray[np.float64]

#: Size of the largest working array of a metric, bytes: what keeps memory small for any set.
BLOCK_BYTES = 2**26
#: Larger values would overflow on the way to a metric.
LARGEST = 1e50


def feature_set(name: str, features: ArrayLike, *, least: int = 2) -> NDArray[Any]:
    """Return features as an array in the type that they have.

    Parameters
    ----------
    name : str
        What to call the set in an error.
    features : array_like of real numbers, shape (n, d)
    least : int
        Smallest number of rows.

    Returns
    -------
    ndarray, shape (n, d)

    Raises
    ------
    MetricError
        If it is no such array, has fewer rows or values that are not finite or beyond 1e50.
    """
    try:
        array = np.asarray(features)
    except (TypeError, ValueError, RuntimeError) as error:
        raise MetricError(name, type(features).__name__, "an array of numbers") from error
    if array.dtype.kind not in "fiu":
        raise MetricError(name, f"an array of {array.dtype}", "an array of real numbers")
    if array.ndim != 2 or len(array) < least or not array.shape[1]:
        allowed = f"shape (n, d) with n of at least {least} and d of at least 1"
        raise MetricError(name, f"shape {array.shape}", allowed)
    if not all(are_usable(block) for block in blocks(array)):
        allowed = f"finite features below {LARGEST:g}"
        raise MetricError(name, "values that are not finite or too large", allowed)
    return array


def feature_pair(
    real: ArrayLike, synthetic: ArrayLike, *, least: int = 2
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return two checked sets of equal dimension.

    Raises
    ------
    MetricError
        As `feature_set` does, and if the dimensions differ.
    """
    x = feature_set("real", real, least=least)
    y = feature_set("synthetic", synthetic, least=least)
    if x.shape[1] != y.shape[1]:
        raise MetricError(
            "features", f"{x.shape[1]} and {y.shape[1]} dimensions", "equal dimensions"
        )
    return x, y


def blocks(features: NDArray[Any], rows: int | None = None) -> Iterator[Floats]:
    """Yield consecutive rows as float64, no more at once than `BLOCK_BYTES`.

    Examples
    --------
    >>> [len(block) for block in blocks(np.zeros((5, 2)), rows=2)]
    [2, 2, 1]
    """
    rows = rows or block_rows(features.shape[1])
    for start in range(0, len(features), rows):
        yield np.asarray(features[start : start + rows], dtype=np.float64)


def block_rows(columns: int) -> int:
    """Return how many rows of float64 make a block of at most `BLOCK_BYTES`.

    Examples
    --------
    >>> block_rows(2048)
    4096
    """
    return max(1, BLOCK_BYTES // (8 * columns))


def are_usable(values: NDArray[Any]) -> bool:
    """Tell whether values are finite and small enough for products of six of them.

    Examples
    --------
    >>> are_usable(np.array([1.0, -2.0])), are_usable(np.array([1.0, np.nan]))
    (True, False)
    """
    # Short floats do not hold the limit itself.
    return float(values.min()) > -LARGEST and float(values.max()) < LARGEST


def mean_vector(features: NDArray[Any]) -> Floats:
    """Return the mean of the rows, summed in float64."""
    total = np.zeros(features.shape[1])
    for block in blocks(features):
        total += block.sum(axis=0)
    return np.asarray(total / len(features))
