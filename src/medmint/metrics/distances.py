"""Distances between Gaussians fitted to sets of feature vectors."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medmint.errors import MetricError
from medmint.metrics.feature_sets import (
    Floats,
    block_rows,
    blocks,
    feature_pair,
    feature_set,
    mean_vector,
)

#: A covariance whose Cholesky pivots spread further is factored from the features themselves:
#: squaring them would leave fewer than nine digits of the smallest directions.
_PIVOT_SPREAD = 1e-3


class Extrapolation(NamedTuple):
    """A Frechet distance carried on to sets without end.

    Attributes
    ----------
    value : float
        Where the line through the distances meets 1 / N = 0. Noise can carry it below 0.
    slope : float
        Bias times N: the distance of N samples is about ``value + slope / N``.
    sizes : tuple of int
        Samples per set, in growing order.
    distances : tuple of float
        Frechet distance at each size, the mean over its parts.
    """

    value: float
    slope: float
    sizes: tuple[int, ...]
    distances: tuple[float, ...]


def frechet_distance(real: ArrayLike, synthetic: ArrayLike) -> float:
    """Return the squared Frechet distance between Gaussians fitted to two feature sets.

    ``|m1 - m2|^2 + Tr S1 + Tr S2 - 2 Tr (S1 S2)^(1/2)`` with covariances of n - 1 degrees of
    freedom. The last term is the sum of the singular values of ``A B^T``, where ``A^T A`` and
    ``B^T B`` are the covariances: exact for rank-deficient sets too, where the usual
    eigenvalue routes turn rounding into errors of 1e-6 to 1e-5.

    Parameters
    ----------
    real : array_like of float, shape (n, d)
        Features of real images, n at least 2.
    synthetic : array_like of float, shape (m, d)
        Features of synthetic images, m at least 2.

    Returns
    -------
    float
        At least 0. Biased upwards by about ``1 / n``: compare only equal sizes.

    Raises
    ------
    MetricError
        If a set is not two-dimensional, has fewer than two rows or values that are not finite,
        or if the dimensions differ.

    References
    ----------
    Dowson and Landau, J. Multivariate Analysis 12(3), 1982, equation 4; Heusel et al.,
    NeurIPS 2017 (arXiv:1706.08500), equation 6.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[0.0], [2.0]])
    >>> round(frechet_distance(x, x + 3), 6)
    9.0
    """
    x, y = feature_pair(real, synthetic)
    mean_x, mean_y = mean_vector(x), mean_vector(y)
    return _distance(mean_x - mean_y, _factor(x, mean_x), _factor(y, mean_y))


def frechet_distance_from_statistics(
    mean_real: ArrayLike,
    covariance_real: ArrayLike,
    mean_synthetic: ArrayLike,
    covariance_synthetic: ArrayLike,
) -> float:
    """Return the squared Frechet distance between two Gaussians, as `frechet_distance` does.

    Each covariance is factored by its eigenvectors, without those that rounding alone makes;
    the product of the factors is never squared. What was lost when the covariance itself was
    rounded stays lost: from features `frechet_distance` is at least as exact.

    Parameters
    ----------
    mean_real, mean_synthetic : array_like of float, shape (d,)
    covariance_real, covariance_synthetic : array_like of float, shape (d, d)
        Symmetric, without negative eigenvalues beyond rounding.

    Returns
    -------
    float
        At least 0.

    Raises
    ------
    MetricError
        If shapes do not fit, values are not finite, or a matrix is no covariance.

    References
    ----------
    Dowson and Landau, J. Multivariate Analysis 12(3), 1982, equation 4.

    Examples
    --------
    >>> import numpy as np
    >>> round(frechet_distance_from_statistics([0, 0], np.eye(2), [1, 0], 4 * np.eye(2)), 6)
    3.0
    """
    first, a = _statistics("real", mean_real, covariance_real)
    second, b = _statistics("synthetic", mean_synthetic, covariance_synthetic)
    if len(first) != len(second):
        raise MetricError(
            "statistics", f"{len(first)} and {len(second)} dimensions", "equal dimensions"
        )
    return _distance(first - second, a, b)


def frechet_distance_extrapolated(
    real: ArrayLike, synthetic: ArrayLike, *, points: int = 6, seed: int = 0
) -> Extrapolation:
    """Carry the Frechet distance on to infinitely many samples ("FID infinity").

    The bias of the distance falls like 1 / N. Both sets are cut to equal sizes, evenly spaced in
    1 / N from the smaller set to a quarter of it (or just above d), and a line in 1 / N is
    fitted. At each size the mean is taken over as many parts as a seeded order of each set
    gives without using a sample twice.

    Parameters
    ----------
    real : array_like of float, shape (n, d)
    synthetic : array_like of float, shape (m, d)
    points : int
        Number of sizes, at least 2.
    seed : int
        Seed of the order.

    Returns
    -------
    Extrapolation

    Raises
    ------
    MetricError
        If there are not more samples than dimensions plus points: below that the bias is not
        linear in 1 / N, and the line would lead anywhere.

    References
    ----------
    Chong and Forsyth, CVPR 2020 (arXiv:1911.07023), section 4.

    Examples
    --------
    >>> import numpy as np
    >>> x, y = np.random.default_rng(0).normal(size=(2, 4000, 10))
    >>> result = frechet_distance_extrapolated(x, y)
    >>> abs(result.value) < result.distances[-1] < result.distances[0]
    True
    """
    x, y = feature_pair(real, synthetic)
    if points < 2:
        raise MetricError("points", str(points), "at least 2 sizes")
    size, dimension = min(len(x), len(y)), x.shape[1]
    if size < dimension + points:
        raise MetricError(
            "features",
            f"{size} samples of {dimension} dimensions",
            f"at least {dimension + points} samples: with fewer the distance cannot be "
            "extrapolated; take more images or an extractor of fewer features",
        )
    random = np.random.default_rng(seed)
    x, y = (part[random.permutation(len(part))[:size]] for part in (x, y))
    smallest = max(dimension + 1, size // 4)
    sizes = np.rint(1 / np.linspace(1 / smallest, 1 / size, points)).astype(int)
    distances = [_mean_over_parts(x, y, int(n)) for n in sizes]
    slope, value = np.polyfit(1 / sizes, distances, 1)
    return Extrapolation(float(value), float(slope), tuple(sizes.tolist()), tuple(distances))


def rfid(fid_rs: float, fid_rr: float) -> float:
    """Return the Frechet distance between real sets over that between real and synthetic ones.

    ``1 - (FID_rs - FID_rr) / FID_rs = FID_rr / FID_rs``: about 1 where synthetic images are as
    close to real ones as other real images are. It exceeds 1 where they are closer still, which
    asks for a look at copies and at the sizes of the sets.

    Parameters
    ----------
    fid_rs : float
        Distance between real and synthetic images, above 0.
    fid_rr : float
        Distance between two sets of real images, measured with the same number of images.

    Returns
    -------
    float
        At least 0; higher is better.

    Raises
    ------
    MetricError
        If ``fid_rs`` is not above 0 or ``fid_rr`` is below 0, or one is not finite.

    References
    ----------
    Osuala et al., J. Med. Imaging 10(6), 061403, 2023, equation 1.

    Examples
    --------
    >>> round(rfid(63.99, 43.31), 3)
    0.677
    """
    if not (math.isfinite(fid_rs) and fid_rs > 0):
        raise MetricError("fid_rs", repr(fid_rs), "a number above 0")
    if not (math.isfinite(fid_rr) and fid_rr >= 0):
        raise MetricError("fid_rr", repr(fid_rr), "a number of at least 0")
    return fid_rr / fid_rs


def _mean_over_parts(x: NDArray[Any], y: NDArray[Any], size: int) -> float:
    starts = range(0, len(x) - size + 1, size)
    parts = [frechet_distance(x[i : i + size], y[i : i + size]) for i in starts]
    return float(np.mean(parts))


def _distance(offset: Floats, a: Floats, b: Floats) -> float:
    overlap = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    distance = offset @ offset + (a * a).sum() + (b * b).sum() - 2 * overlap
    return max(float(distance), 0.0)


def _factor(features: NDArray[Any], mean: Floats) -> Floats:
    """Return F with ``F^T F`` the covariance, of no more rows than needed."""
    freedom = len(features) - 1
    if len(features) <= features.shape[1]:
        return np.asarray((features - mean) / np.sqrt(freedom))
    covariance = np.zeros((len(mean), len(mean)))
    for block in blocks(features):
        centred = block - mean
        covariance += centred.T @ centred
    try:
        factor = np.linalg.cholesky(covariance / freedom).T
    except np.linalg.LinAlgError:
        return _triangle(features, mean)
    pivots = factor.diagonal()
    if pivots.min() < _PIVOT_SPREAD * pivots.max():
        return _triangle(features, mean)
    return np.asarray(factor)


def _triangle(features: NDArray[Any], mean: Floats) -> Floats:
    """Return the triangular factor of the centred features, block after block."""
    triangle = np.zeros((0, len(mean)))
    for block in blocks(features, rows=max(len(mean), block_rows(len(mean)))):
        centred = (block - mean) / np.sqrt(len(features) - 1)
        triangle = np.asarray(np.linalg.qr(np.concatenate([triangle, centred]), mode="r"))
    return triangle


def _statistics(name: str, mean: ArrayLike, covariance: ArrayLike) -> tuple[Floats, Floats]:
    """Return a mean and a factor F with ``F^T F`` the covariance."""
    centre = feature_set(f"mean_{name}", np.atleast_2d(mean), least=1).astype(np.float64)
    matrix = feature_set(f"covariance_{name}", covariance, least=1).astype(np.float64)
    size = centre.shape[1]
    if len(centre) != 1 or matrix.shape != (size, size):
        raise MetricError(
            f"covariance_{name}",
            f"shape {matrix.shape} beside a mean of shape {np.shape(mean)}",
            "shapes (d, d) and (d,)",
        )
    scale = np.abs(matrix).max()
    if np.abs(matrix - matrix.T).max() > 1e-8 * scale:
        raise MetricError(f"covariance_{name}", "a matrix that is not symmetric", "a covariance")
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    if values[0] < -1e-6 * scale:
        raise MetricError(
            f"covariance_{name}", f"an eigenvalue of {values[0]:.3g}", "eigenvalues of at least 0"
        )
    kept = values > values[-1] * size * np.finfo(np.float64).eps
    return centre[0], np.asarray((vectors[:, kept] * np.sqrt(values[kept])).T)
