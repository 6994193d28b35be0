"""Statistics of nearest-neighbour distances: nearer than chance, told apart, members told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medmint.errors import MetricError
from medmint.metrics.comparison import Interval
from medmint.metrics.scores import auroc

Array = NDArray[Any]
Floats = NDArray[np.float64]

#: At most this share of the baseline lies below the threshold for copies.
CLOSE_QUANTILE = 0.01
#: Findings are reported where chance alone gives them less often than this.
SIGNIFICANCE = 0.01
_SMALLEST = 1e-12
_CHUNK = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Closeness:
    """How near synthetic images come to the training images, beside images the model never saw.

    Attributes
    ----------
    space : str
        What distances are taken in: ``pixels``, or the name of a feature extractor.
    synthetic, baseline : ndarray of float64
        Distance of each image to its nearest training image.
    ratio : float
        Median of the synthetic distances over that of the baseline; below 1 is nearer.
    p_value : float
        One-sided Mann-Whitney test that synthetic images are not nearer than the baseline.
    threshold : float
        The distance below which at most 1 % of the baseline lies.
    close_share : float
        Share of the synthetic images below the threshold.
    close_p_value : float
        Probability of at least that many below it by chance.
    outright : int
        Synthetic images at less than half the threshold: copies, however few they are.
    """

    space: str
    synthetic: Floats
    baseline: Floats
    ratio: float
    p_value: float
    threshold: float
    close_share: float
    close_p_value: float
    outright: int

    @property
    def is_close(self) -> bool:
        """Whether there are more near-copies than chance gives, or plain copies."""
        return self.close_p_value < SIGNIFICANCE or self.outright > 0


def closeness(space: str, synthetic: Floats, baseline: Floats) -> Closeness:
    """Compare distances to the nearest training image with those of images never seen.

    Examples
    --------
    >>> result = closeness("pixels", np.full(20, 0.1), np.linspace(0.8, 1.2, 50))
    >>> result.close_share, result.is_close, round(result.ratio, 2)
    (1.0, True, 0.1)
    """
    from scipy import stats

    # The threshold is itself one of the baseline distances, the first after 1 % of them: how many
    # exchangeable others come before it has a negative hypergeometric distribution.
    place = int(CLOSE_QUANTILE * len(baseline)) + 1
    threshold = float(np.sort(baseline)[place - 1])
    close = int((synthetic < threshold).sum())
    total = len(synthetic) + len(baseline)
    test = stats.mannwhitneyu(synthetic, baseline, alternative="less")
    middle = float(np.median(baseline))
    return Closeness(
        space=space,
        synthetic=synthetic,
        baseline=baseline,
        ratio=float(np.median(synthetic)) / middle if middle > 0 else 1.0,
        p_value=float(test.pvalue),
        threshold=threshold,
        close_share=close / len(synthetic),
        close_p_value=float(stats.nhypergeom.sf(close - 1, total, len(synthetic), place)),
        outright=int((synthetic < threshold / 2).sum()),
    )


def p_text(p_value: float) -> str:
    """Return a p-value in words; what lies below the rounding of its sums is not printed as 0.

    Examples
    --------
    >>> p_text(0.0312), p_text(0.0)
    ('p = 0.031', 'p < 1e-12')
    """
    return f"p < {_SMALLEST:g}" if p_value < _SMALLEST else f"p = {p_value:.2g}"


def adversarial_accuracy(real: Floats, synthetic: Floats) -> float:
    """Return the accuracy with which a nearest neighbour tells real from synthetic features.

    ``(mean[d_RS > d_RR] + mean[d_SR > d_SS]) / 2``, where d_RR and d_SS leave out the image itself.

    Parameters
    ----------
    real, synthetic : ndarray of float, shape (n, d)
        Sets of equal size.

    Raises
    ------
    MetricError
        If the sizes differ or are below 2.

    Examples
    --------
    >>> x = np.arange(6.0)[:, None]
    >>> adversarial_accuracy(x, x + 100), adversarial_accuracy(x, x)
    (1.0, 0.0)
    """
    if real.shape != synthetic.shape or len(real) < 2:
        raise MetricError(
            "features", f"shapes {real.shape} and {synthetic.shape}", "equal, at least 2 rows"
        )
    own_real = nearest_features(real, real, excluded=np.eye(len(real), dtype=bool))
    own_synthetic = nearest_features(synthetic, synthetic, excluded=np.eye(len(real), dtype=bool))
    real_told = nearest_features(real, synthetic) > own_real
    synthetic_told = nearest_features(synthetic, real) > own_synthetic
    return float(real_told.mean() + synthetic_told.mean()) / 2


def membership(
    members: Floats, strangers: Floats, *, groups: Array | None = None, seed: int = 0
) -> tuple[float, Interval]:
    """Return the AUC of telling members from strangers by distance, with a bootstrap interval.

    Parameters
    ----------
    members, strangers : ndarray of float64, shapes (n,) and (m,)
        Distance of training and of holdout images to the nearest synthetic image.
    groups : array, shape (n + m,), optional
        Patient of each image, members first; whole patients are drawn then.
    seed : int
        Seed of the 1,000 draws.

    Examples
    --------
    >>> auc, interval = membership(np.arange(50) / 50, np.arange(50) / 50 + 0.5)
    >>> round(auc, 3), interval.unit
    (0.875, 'image')
    """
    is_member = np.repeat([1, 0], [len(members), len(strangers)])
    score = -np.concatenate([members, strangers])
    units = np.arange(len(score)) if groups is None else np.unique(groups, return_inverse=True)[1]
    rows = [np.flatnonzero(units == unit) for unit in range(units.max() + 1)]
    random = np.random.default_rng(seed)
    values = []
    for _ in range(1000):
        drawn = np.concatenate([rows[i] for i in random.integers(len(rows), size=len(rows))])
        if 0 < is_member[drawn].sum() < len(drawn):
            values.append(auroc(is_member[drawn], score[drawn]))
    low, high = np.quantile(values, [0.025, 0.975]) if values else (0.0, 1.0)
    interval = Interval(
        low=float(low),
        high=float(high),
        unit="image" if groups is None else "group",
        units=len(rows),
        method=f"bootstrap, {len(values)} draws",
    )
    return auroc(is_member, score), interval


def nearest_features(
    features: Floats, reference: Floats, *, excluded: Array | None = None
) -> Floats:
    """Return the Euclidean distance of each row to the nearest reference row, shape (n,)."""
    squares = (reference * reference).sum(axis=1)
    nearest = np.empty(len(features))
    for start in range(0, len(features), _CHUNK):
        rows = features[start : start + _CHUNK]
        distances = (rows * rows).sum(axis=1)[:, None] + squares - 2 * rows @ reference.T
        if excluded is not None:
            distances[excluded[start : start + _CHUNK]] = np.inf
        nearest[start : start + len(rows)] = distances.min(axis=1)
    # What is left of a difference of equal numbers is rounding, not distance.
    scale = float(squares.max(initial=0.0))
    return np.asarray(np.sqrt(np.where(nearest > 1e-12 * scale, nearest, 0.0)))
