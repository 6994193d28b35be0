"""The kernel inception distance: how far apart two sets are, without bias."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medmint.errors import MetricError
from medmint.metrics.feature_sets import Floats, blocks, feature_pair

logger = logging.getLogger(__name__)

#: Rows per side of a block of kernel values: small enough for the cache of a core.
_ROWS = 1024


def kid(real: ArrayLike, synthetic: ArrayLike) -> float:
    """Return the kernel inception distance over all samples, unbiased.

    ``mean k(x, x') + mean k(y, y') - 2 mean k(x, y)`` over all pairs of different samples, with
    ``k(x, y) = (<x, y> / d + 1)^3``. It uses every pair, draws nothing at random, and its variance
    is lower than that of a mean over subsets. Memory does not grow with the sets.

    Parameters
    ----------
    real : array_like of float, shape (n, d)
        Features of real images, n at least 2.
    synthetic : array_like of float, shape (m, d)
        Features of synthetic images, m at least 2.

    Returns
    -------
    float
        About 0 for equal distributions; noise makes it negative as often as positive.

    Raises
    ------
    MetricError
        If a set is not two-dimensional, has fewer than two rows or values that are not finite,
        or if the dimensions differ.

    References
    ----------
    Binkowski et al., ICLR 2018 (arXiv:1801.01401), section 4; Gretton et al., JMLR 13, 2012,
    equation 3.

    Examples
    --------
    >>> import numpy as np
    >>> kid(np.array([[0.0], [1.0]]), np.array([[0.0], [1.0]]))
    -3.5
    """
    x, y = feature_pair(real, synthetic)
    return _kid(x, y)


def kid_subsets(
    real: ArrayLike,
    synthetic: ArrayLike,
    *,
    subsets: int = 100,
    subset_size: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return mean and deviation of the kernel inception distance over random subsets.

    The form in which papers print it. Subsets are drawn without replacement, from each set anew.

    Parameters
    ----------
    real : array_like of float, shape (n, d)
    synthetic : array_like of float, shape (m, d)
    subsets : int
        Number of pairs of subsets, at least 1.
    subset_size : int
        Samples per subset, at least 2. At most ``min(n, m)`` are taken, and a warning is logged:
        subsets that are whole sets are all alike, and their deviation says nothing.
    seed : int
        Seed of the draws.

    Returns
    -------
    mean : float
    deviation : float
        Over the subsets, of n degrees of freedom: the spread of one subset's value, not the
        error of the mean.

    Raises
    ------
    MetricError
        As `kid` does, and if there is no subset or a subset of fewer than two samples.

    References
    ----------
    Binkowski et al., ICLR 2018 (arXiv:1801.01401), section 4.

    Examples
    --------
    >>> import numpy as np
    >>> x, y = np.random.default_rng(0).normal(size=(2, 60, 4))
    >>> mean, deviation = kid_subsets(x, y + 1, subsets=20, subset_size=30)
    >>> mean > 3 * deviation
    True
    """
    x, y = feature_pair(real, synthetic)
    if subsets < 1:
        raise MetricError("subsets", str(subsets), "at least 1 subset")
    if subset_size < 2:
        raise MetricError("subset_size", str(subset_size), "at least 2 samples")
    size = min(subset_size, len(x), len(y))
    if size < subset_size:
        logger.warning("KID over subsets of %d samples: the sets hold no %d", size, subset_size)
    random = np.random.default_rng(seed)
    values = [
        _kid(
            x[random.choice(len(x), size, replace=False)],
            y[random.choice(len(y), size, replace=False)],
        )
        for _ in range(subsets)
    ]
    return float(np.mean(values)), float(np.std(values))


def _kid(x: NDArray[Any], y: NDArray[Any]) -> float:
    n, m = len(x), len(y)
    within = _sum_within(x) / (n * (n - 1)) + _sum_within(y) / (m * (m - 1))
    return within - 2 * _sum_between(x, y) / (n * m)


def _sum_within(features: NDArray[Any]) -> float:
    """Return the sum of the kernel over all ordered pairs of different rows."""
    total = 0.0
    for index, rows in enumerate(blocks(features, _ROWS)):
        values = _cubes(rows, rows)
        total += float(values.sum() - values.trace())
        for others in blocks(features[(index + 1) * _ROWS :], _ROWS):
            total += 2 * float(_cubes(rows, others).sum())
    return total


def _sum_between(x: NDArray[Any], y: NDArray[Any]) -> float:
    return sum(
        float(_cubes(rows, others).sum())
        for rows in blocks(x, _ROWS)
        for others in blocks(y, _ROWS)
    )


def _cubes(rows: Floats, others: Floats) -> Floats:
    values = rows @ others.T
    values /= rows.shape[1]
    values += 1
    # Two products: numpy's power is many times slower.
    cubes = values * values
    cubes *= values
    return np.asarray(cubes)
