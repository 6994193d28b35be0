"""Measures from what a classifier says of synthetic images."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from medmint.errors import MetricError
from medmint.metrics.feature_sets import Floats, feature_set


def inception_score(
    predictions: ArrayLike, *, logits: bool = False, splits: int = 10, seed: int | None = None
) -> tuple[float, float]:
    """Return mean and deviation of the inception score.

    ``exp(mean KL(p(y|x) || p(y)))``: high where each image is clearly of one class and all classes
    occur. It looks at synthetic images alone. With ImageNet classes it means nothing in
    radiology: take a classifier of the domain.

    Parameters
    ----------
    predictions : array_like of float, shape (n, classes)
        Class probabilities of each synthetic image, or logits.
    logits : bool
        Turn the predictions into probabilities first.
    splits : int
        Parts of which each gives one score, from 1 to n.
    seed : int, optional
        Shuffle the images by this seed before they are split. Default: the order given.

    Returns
    -------
    mean : float
        From 1 to the number of classes.
    deviation : float
        Over the parts, of ``splits`` degrees of freedom.

    Raises
    ------
    MetricError
        If the predictions are not finite, no probabilities, of one class alone or fewer than the
        parts.

    References
    ----------
    Salimans et al., NeurIPS 2016 (arXiv:1606.03498), section 4; Barratt and Sharma, "A note on
    the inception score", 2018 (arXiv:1801.01973).

    Examples
    --------
    >>> import numpy as np
    >>> mean, deviation = inception_score(np.eye(4), splits=1)
    >>> round(mean, 6), deviation
    (4.0, 0.0)
    """
    given = feature_set("predictions", predictions, least=1).astype(np.float64)
    if given.shape[1] < 2:
        raise MetricError("predictions", "one class", "at least 2 classes")
    if not 1 <= splits <= len(given):
        raise MetricError("splits", str(splits), f"1 to {len(given)} parts")
    shares = _softmax(given) if logits else _checked_shares(given)
    if seed is not None:
        shares = shares[np.random.default_rng(seed).permutation(len(shares))]
    edges = [part * len(shares) // splits for part in range(splits + 1)]
    scores = [_score(shares[i:j]) for i, j in pairwise(edges)]
    return float(np.mean(scores)), float(np.std(scores))


def _score(shares: Floats) -> float:
    divergence = _entropy_terms(shares).sum(axis=1).mean()
    return float(np.exp(divergence - _entropy_terms(shares.mean(axis=0)).sum()))


def _entropy_terms(shares: Floats) -> Floats:
    """Return p log p, 0 for p = 0."""
    return np.asarray(shares * np.log(np.where(shares > 0, shares, 1.0)))


def _softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _checked_shares(given: Floats) -> Floats:
    sums = given.sum(axis=1, keepdims=True)
    if (given < 0).any() or not np.allclose(sums, 1, atol=1e-3):
        raise MetricError(
            "predictions",
            f"rows with sums from {sums.min():.3g} to {sums.max():.3g}, "
            f"lowest value {given.min():.3g}",
            "probabilities; say logits=True for values before the softmax",
        )
    # Probabilities in single precision miss 1 by rounding.
    return np.asarray(given / sums)
