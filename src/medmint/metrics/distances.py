"""Distances between sets of feature vectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medmint.errors import MetricError


def frechet_distance(real: NDArray[np.floating], synthetic: NDArray[np.floating]) -> float:
    """Return the squared Frechet distance between Gaussians fitted to two feature sets.

    ``|m1 - m2|^2 + Tr S1 + Tr S2 - 2 Tr (S1 S2)^(1/2)`` with covariances of n - 1 degrees of
    freedom. The last term is the sum of the singular values of ``A B^T``, where A and B are the
    centred features over ``sqrt(n - 1)``: exact for rank-deficient sets too, where the usual
    eigenvalue routes turn rounding into errors of 1e-6 to 1e-5.

    Parameters
    ----------
    real : ndarray of float, shape (n, d)
        Features of real images, n at least 2.
    synthetic : ndarray of float, shape (m, d)
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
    x, y = _checked("real", real), _checked("synthetic", synthetic)
    if x.shape[1] != y.shape[1]:
        raise MetricError(
            "features", f"{x.shape[1]} and {y.shape[1]} dimensions", "equal dimensions"
        )
    offset = x.mean(axis=0) - y.mean(axis=0)
    a, b = _factor(x), _factor(y)
    overlap = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    distance = offset @ offset + (a * a).sum() + (b * b).sum() - 2 * overlap
    return max(float(distance), 0.0)


def _factor(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return F with ``F^T F`` the covariance, of no more rows than needed."""
    centred = (features - features.mean(axis=0)) / np.sqrt(len(features) - 1)
    if len(centred) > centred.shape[1]:
        return np.asarray(np.linalg.qr(centred, mode="r"))
    return np.asarray(centred)


def _checked(name: str, features: NDArray[np.floating]) -> NDArray[np.float64]:
    try:
        array = np.asarray(features, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise MetricError(name, type(features).__name__, "an array of numbers") from error
    if array.ndim != 2 or len(array) < 2 or not array.shape[1]:
        allowed = "shape (n, d) with n of at least 2 and d of at least 1"
        raise MetricError(name, f"shape {array.shape}", allowed)
    if not np.isfinite(array).all():
        raise MetricError(name, "values that are not finite", "finite features")
    return array
