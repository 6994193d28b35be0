"""Scores of predictions: overlap of masks, and how well classes are told apart."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medmint.errors import MetricError

Array = NDArray[Any]


def dice(truth: Array, prediction: Array) -> NDArray[np.float64]:
    """Return the Dice coefficient of each pair of masks.

    ``2 |A and B| / (|A| + |B|)``. Where both masks are empty it is 1: nothing was there and nothing
    was found. Where one alone is empty it is 0.

    Parameters
    ----------
    truth, prediction : ndarray, shape (n, ...)
        Everything that is not 0 belongs to the mask.

    Returns
    -------
    ndarray of float64, shape (n,)

    Raises
    ------
    MetricError
        If the shapes differ.

    References
    ----------
    Dice, Ecology 26(3), 1945.

    Examples
    --------
    >>> dice(np.array([[1, 1, 0], [0, 0, 0]]), np.array([[1, 0, 0], [0, 0, 0]])).round(3).tolist()
    [0.667, 1.0]
    """
    if truth.shape != prediction.shape or not truth.ndim:
        raise MetricError("masks", f"shapes {truth.shape} and {prediction.shape}", "equal shapes")
    a, b = (masks.reshape(len(masks), -1) != 0 for masks in (truth, prediction))
    both, sizes = (a & b).sum(axis=1), a.sum(axis=1) + b.sum(axis=1)
    return np.asarray(np.divide(2.0 * both, sizes, out=np.ones(len(a)), where=sizes > 0))


def auroc(truth: Array, score: Array) -> float:
    """Return the area under the ROC curve, ties counted by half.

    Parameters
    ----------
    truth : ndarray of int or bool, shape (n,)
        1 for the class that a high score stands for, 0 for the other; both have to be there.
    score : ndarray of float, shape (n,)

    References
    ----------
    Hanley and McNeil, Radiology 143(1), 1982: the area is the Mann-Whitney statistic.

    Examples
    --------
    >>> auroc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.4, 0.8]))
    0.875
    """
    from scipy.stats import rankdata

    positive = _checked(truth, score)
    count, others = int(positive.sum()), int((~positive).sum())
    ranks = rankdata(score)
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * others))


def average_precision(truth: Array, score: Array) -> float:
    """Return the area under the precision-recall curve as the mean precision at each positive.

    Parameters
    ----------
    truth, score
        As for :func:`auroc`. Equal scores are one threshold.

    Examples
    --------
    >>> round(average_precision(np.array([0, 1, 0, 1]), np.array([0.1, 0.4, 0.35, 0.8])), 3)
    1.0
    """
    positive = _checked(truth, score)
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(positive[order])
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    found = hits[ends]
    precision = found / (ends + 1)
    return float((np.diff(found, prepend=0) * precision).sum() / hits[-1])


def f1(truth: Array, prediction: Array) -> float:
    """Return the harmonic mean of precision and recall of decisions; 0 where nothing was hit.

    Examples
    --------
    >>> f1(np.array([1, 1, 0, 0]), np.array([1, 0, 1, 0]))
    0.5
    """
    positive, decided = np.asarray(truth) != 0, np.asarray(prediction) != 0
    hits = int((positive & decided).sum())
    return 2 * hits / max(int(positive.sum() + decided.sum()), 1)


def _checked(truth: Array, score: Array) -> NDArray[np.bool_]:
    positive: NDArray[np.bool_] = np.asarray(truth) != 0
    if positive.shape != np.shape(score) or positive.ndim != 1:
        raise MetricError("score", f"shape {np.shape(score)}", f"shape {positive.shape}")
    if not np.isfinite(score).all():
        raise MetricError("score", "values that are not finite", "finite scores")
    if positive.all() or not positive.any():
        raise MetricError("truth", "one class alone", "examples of both classes")
    return positive
