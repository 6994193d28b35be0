"""Measures from nearest neighbours: how many samples look real, and how much of real is met."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medmint.errors import MetricError
from medmint.metrics.feature_sets import Floats, blocks, feature_pair, mean_vector

#: Squared distances come from scalar products and are wrong by a few roundings of the squared
#: norms. Distances that are equal but for that count as equal: copies lie on the edge of balls.
_ROUNDING = 1e-12
#: Rows of distances at once, and the most bytes that they take: each pass reads the other set anew.
_ROWS, _BYTES = 1024, 2**28
_COLUMNS = 2048


def precision_recall(real: ArrayLike, synthetic: ArrayLike, k: int = 3) -> tuple[float, float]:
    """Return the improved precision and recall.

    Each sample has a ball that reaches to its k-th nearest neighbour in its own set, the sample
    itself not counted. Precision is the share of synthetic samples inside the ball of some real
    one, recall the share of real samples inside the ball of some synthetic one; edges count as
    inside.

    Parameters
    ----------
    real : array_like of float, shape (n, d)
        Features of real images, more than k.
    synthetic : array_like of float, shape (m, d)
        Features of synthetic images, more than k.
    k : int
        Neighbours, at least 1.

    Returns
    -------
    precision : float
        From 0 to 1. How real the samples look.
    recall : float
        From 0 to 1. How much of the variety of real images they have.

    Raises
    ------
    MetricError
        If a set has no more than k rows, is not two-dimensional or not finite, or if the
        dimensions differ.

    Notes
    -----
    Both depend on the sizes of the sets: compare equal sizes only.

    References
    ----------
    Kynkaanniemi et al., NeurIPS 2019 (arXiv:1904.06991), equations 1 and 2.

    Examples
    --------
    >>> import numpy as np
    >>> real = np.array([[0.0], [1.0], [2.0], [9.0]])
    >>> precision_recall(real, np.array([[0.5], [1.5]]), k=1)
    (1.0, 0.75)
    """
    x, y = _checked(real, synthetic, k)
    centre = mean_vector(x)
    real_radii, synthetic_radii = _radii(x, centre, k), _radii(y, centre, k)
    inside_real = np.zeros(len(y), dtype=bool)
    inside_synthetic = np.zeros(len(x), dtype=bool)
    for rows, distances in _distances(y, x, centre, slack=-_ROUNDING):
        inside_real[rows] = (distances <= real_radii).any(axis=1)
        inside_synthetic |= (distances <= synthetic_radii[rows, None]).any(axis=0)
    return float(inside_real.mean()), float(inside_synthetic.mean())


def density_coverage(real: ArrayLike, synthetic: ArrayLike, k: int = 5) -> tuple[float, float]:
    """Return density and coverage: like precision and recall, steadier against outliers.

    Balls reach from each real sample to its k-th nearest real neighbour; edges count as outside.
    Density is the number of balls that a synthetic sample lies in, over k; coverage the share of
    real samples whose ball holds a synthetic one.

    Parameters
    ----------
    real : array_like of float, shape (n, d)
        Features of real images, more than k.
    synthetic : array_like of float, shape (m, d)
        Features of synthetic images, more than k.
    k : int
        Neighbours, at least 1.

    Returns
    -------
    density : float
        At least 0; about 1 for equal distributions, and not bounded by it.
    coverage : float
        From 0 to 1.

    Raises
    ------
    MetricError
        If a set has no more than k rows, is not two-dimensional or not finite, or if the
        dimensions differ.

    References
    ----------
    Naeem et al., ICML 2020 (arXiv:2002.09797), equations 3 and 4.

    Examples
    --------
    >>> import numpy as np
    >>> real = np.array([[0.0], [1.0], [2.0], [9.0]])
    >>> density_coverage(real, np.array([[0.5], [1.5]]), k=1)
    (2.0, 0.75)
    """
    x, y = _checked(real, synthetic, k)
    centre = mean_vector(x)
    radii = _radii(x, centre, k)
    hits = 0
    covered = np.zeros(len(x), dtype=bool)
    for _, distances in _distances(y, x, centre, slack=_ROUNDING):
        inside = distances < radii
        hits += int(np.count_nonzero(inside))
        covered |= inside.any(axis=0)
    return hits / (k * len(y)), float(covered.mean())


def _checked(real: ArrayLike, synthetic: ArrayLike, k: int) -> tuple[NDArray[Any], NDArray[Any]]:
    if k < 1:
        raise MetricError("k", str(k), "at least 1 neighbour")
    return feature_pair(real, synthetic, least=k + 1)


def _radii(features: NDArray[Any], centre: Floats, k: int) -> Floats:
    """Return the squared distance of each row to its k-th nearest other row."""
    radii = np.empty(len(features))
    for rows, distances in _distances(features, features, centre, slack=0):
        distances[np.arange(len(distances)), np.arange(rows.start, rows.stop)] = np.inf
        distances.partition(k - 1, axis=1)
        radii[rows] = distances[:, k - 1]
    return radii


def _distances(
    points: NDArray[Any], others: NDArray[Any], centre: Floats, *, slack: float
) -> Iterator[tuple[slice, Floats]]:
    """Yield squared distances of some points to all others, with the rows that they belong to.

    They are too long or too short by ``slack`` times the squared norms. Both sets are moved to
    ``centre`` first, since scalar products of far vectors cancel. The distances may be changed;
    the next ones take their place.
    """
    norms = np.concatenate([((part - centre) ** 2).sum(axis=1) for part in blocks(others)])
    norms *= 1 + slack
    height = max(1, min(_ROWS, _BYTES // (8 * len(others))))
    buffer = np.empty((min(height, len(points)), len(others)))
    for start, part in zip(range(0, len(points), height), blocks(points, height), strict=True):
        moved = part - centre
        distances = buffer[: len(part)]
        columns = range(0, len(others), _COLUMNS)
        for left, across in zip(columns, blocks(others, _COLUMNS), strict=True):
            np.matmul(moved, (across - centre).T, out=distances[:, left : left + len(across)])
        distances *= -2
        distances += norms
        distances += ((moved**2).sum(axis=1) * (1 + slack))[:, None]
        yield slice(start, start + len(part)), distances
