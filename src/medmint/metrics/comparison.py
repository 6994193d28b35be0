"""Comparing honestly: equal sizes, a lower bound from real images, intervals, size warnings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medmint.errors import MetricError

Array = NDArray[Any]
Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
#: A measure of two feature sets: the real one first.
Statistic = Callable[[Floats, Floats], float]

LEVEL = 0.95
REPEATS = 10
DRAWS = 100
#: Fewer samples than this are few for the 2,048 dimensions of Inception features.
USUAL_SAMPLES = 2048
_SIZES = 6
_DRAWS_PER_SIZE = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A confidence interval, and what it was taken over.

    Attributes
    ----------
    low, high : float
        Its ends.
    unit : str
        What was drawn: ``image``, or ``group`` where images of one patient stay together.
    units : int
        How many of them there are.
    method : str
        How it was found.
    level : float
        Its coverage.
    """

    low: float
    high: float
    unit: str
    units: int
    method: str
    level: float = LEVEL

    def __str__(self) -> str:
        return f"{self.low:.4g} to {self.high:.4g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Relative:
    """A distance beside its lower bound, all at one sample size.

    Attributes
    ----------
    real_synthetic, real_real : ndarray of float64, shape (repeats,)
        The distance of each split: one half of the real set against as many synthetic images, and
        against the other half.
    size : int
        Images in each set of each distance.
    unit : str
        What the halves do not share: ``image`` or ``group``, such as a patient.
    """

    real_synthetic: Floats
    real_real: Floats
    size: int
    unit: str

    @property
    def ratio(self) -> float:
        """Mean real-real over mean real-synthetic: rFID for a Frechet distance, about 1 at best.

        Not a number where the synthetic images are at no distance at all.
        """
        below = float(self.real_synthetic.mean())
        return float(self.real_real.mean()) / below if below > 0 else float("nan")

    @property
    def exceeds_one(self) -> bool:
        """Whether synthetic images are nearer to real ones than real ones are to each other."""
        return self.ratio > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeCurve:
    """A distance at growing sample size.

    Attributes
    ----------
    sizes : ndarray of int64, shape (k,)
        Images in each set.
    values, deviations : ndarray of float64, shape (k,)
        Mean and standard deviation over draws.
    """

    sizes: Whole
    values: Floats
    deviations: Floats


def equal_halves(
    count: int, random: np.random.Generator, *, groups: Array | None = None
) -> tuple[Whole, Whole]:
    """Split rows at random into two sets of equal size that share no row and no group.

    Parameters
    ----------
    count : int
        Number of rows.
    random : numpy.random.Generator
    groups : array, shape (count,), optional
        Patient of each row.

    Returns
    -------
    tuple of two ndarray of int64, of equal length

    Raises
    ------
    MetricError
        If a half would have fewer than two rows.

    Examples
    --------
    >>> patients = np.array([0, 0, 1, 1, 2, 3, 3])
    >>> one, other = equal_halves(7, np.random.default_rng(0), groups=patients)
    >>> len(one), len(other), set(one) & set(other)
    (3, 3, set())
    """
    halves: tuple[list[int], list[int]] = ([], [])
    for rows in _shuffled_units(count, groups, random):
        smaller = halves[0] if len(halves[0]) <= len(halves[1]) else halves[1]
        smaller.extend(rows)
    size = min(map(len, halves))
    if size < 2:
        unit = "images" if groups is None else "patients"
        raise MetricError("real", f"too few {unit} to halve ({count} images)", "two in each half")
    first, second = (random.permutation(half)[:size].astype(np.int64) for half in halves)
    return first, second


def relative_distance(
    real: Floats,
    synthetic: Floats,
    statistic: Statistic,
    *,
    groups: Array | None = None,
    seed: int = 0,
    repeats: int = REPEATS,
) -> Relative:
    """Compare a distance to synthetic images with that between halves of the real ones.

    Small sets are biased away from each other, so both distances are taken at the same size: that
    of half the real set. Halves are drawn ``repeats`` times, and share no patient.

    Parameters
    ----------
    real : ndarray of float64, shape (n, d)
    synthetic : ndarray of float64, shape (m, d)
        At least as many rows as half the real set.
    statistic : callable
        ``statistic(real, synthetic)``, such as ``frechet_distance``.
    groups : array, shape (n,), optional
        Patient of each real row.
    seed, repeats : int
        Seed and number of splits.

    Returns
    -------
    Relative

    References
    ----------
    Osuala et al., "medigan", J. Med. Imaging 10(6), 061403, 2023, equation 3.

    Examples
    --------
    >>> from medmint.metrics.distances import frechet_distance
    >>> random = np.random.default_rng(0)
    >>> result = relative_distance(random.normal(size=(80, 4)), random.normal(size=(80, 4)),
    ...                            frechet_distance)
    >>> result.size, bool(0.5 < result.ratio < 2)
    (40, True)
    """
    random = np.random.default_rng(seed)
    own, other = [], []
    size = 0
    for _ in range(repeats):
        first, second = equal_halves(len(real), random, groups=groups)
        size = min(len(first), len(synthetic))
        drawn = random.permutation(len(synthetic))[:size]
        own.append(statistic(real[first[:size]], real[second[:size]]))
        other.append(statistic(real[first[:size]], synthetic[drawn]))
    return Relative(
        real_synthetic=np.array(other),
        real_real=np.array(own),
        size=size,
        unit="image" if groups is None else "group",
    )


def subsample_interval(
    real: Floats,
    synthetic: Floats,
    statistic: Statistic,
    *,
    groups: Array | None = None,
    seed: int = 0,
    bounds: tuple[float, float] = (0.0, np.inf),
) -> Interval:
    """Return an interval for a statistic of two sets by drawing half of each without replacement.

    Drawing with replacement puts duplicates into both sets, which pulls a Frechet distance off. The
    spread of half-samples about their own mean estimates the spread of the statistic at full size,
    as sampling half of a finite set halves the variance twice. The interval is laid around the
    value at full size, so that the bias of the smaller sets does not shift it.

    Parameters
    ----------
    real, synthetic : ndarray of float64, shapes (n, d) and (m, d)
    statistic : callable
        ``statistic(real, synthetic)``.
    groups : array, shape (n,), optional
        Patient of each real row: half of the patients are drawn.
    seed : int
        Seed of the 100 draws.
    bounds : tuple of two float
        Values that the statistic cannot leave.

    Returns
    -------
    Interval

    References
    ----------
    Shao and Wu, "A general theory for jackknife variance estimation", Annals of Statistics 17(3),
    1989: the delete-d jackknife, here with d half of the sample.

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> x, y = random.normal(size=(200, 1)), random.normal(1, 1, (200, 1))
    >>> interval = subsample_interval(x, y, lambda a, b: float(b.mean() - a.mean()))
    >>> bool(interval.low < 1 < interval.high), interval.units
    (True, 200)
    """
    random = np.random.default_rng(seed)
    values = np.empty(DRAWS)
    for row in range(DRAWS):
        chosen, _ = equal_halves(len(real), random, groups=groups)
        drawn = random.permutation(len(synthetic))[: max(len(synthetic) // 2, 2)]
        values[row] = statistic(real[chosen], synthetic[drawn])
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(values - values.mean(), [tail, 1 - tail]) + statistic(real, synthetic)
    return Interval(
        low=float(np.clip(low, *bounds)),
        high=float(np.clip(high, *bounds)),
        unit="image" if groups is None else "group",
        units=len(real) if groups is None else len(np.unique(groups)),
        method=f"{DRAWS} half-samples without replacement",
    )


def size_curve(
    real: Floats, synthetic: Floats, statistic: Statistic, *, seed: int = 0
) -> SizeCurve:
    """Measure a distance at growing size, to see what it owes to the number of images.

    Parameters
    ----------
    real, synthetic : ndarray of float64, shapes (n, d) and (m, d)
    statistic : callable
        ``statistic(real, synthetic)``.
    seed : int
        Seed of the subsets.

    Returns
    -------
    SizeCurve
        At most six sizes, evenly spaced in ``1 / size``, with five draws each.

    Examples
    --------
    >>> from medmint.metrics.distances import frechet_distance
    >>> random = np.random.default_rng(0)
    >>> x, y = random.normal(size=(400, 8)), random.normal(size=(400, 8))
    >>> curve = size_curve(x, y, frechet_distance)
    >>> curve.sizes.tolist(), bool(curve.values[0] > curve.values[-1])
    ([80, 95, 118, 154, 222, 400], True)
    """
    random = np.random.default_rng(seed)
    largest = min(len(real), len(synthetic))
    smallest = max(largest // 5, 2)
    sizes = np.unique(np.round(1 / np.linspace(1 / smallest, 1 / largest, _SIZES)).astype(int))
    values = np.empty((len(sizes), _DRAWS_PER_SIZE))
    for row, size in enumerate(sizes):
        for column in range(_DRAWS_PER_SIZE):
            one = real[random.permutation(len(real))[:size]]
            other = synthetic[random.permutation(len(synthetic))[:size]]
            values[row, column] = statistic(one, other)
    return SizeCurve(sizes=sizes, values=values.mean(axis=1), deviations=values.std(axis=1))


def size_warnings(count: int, dimensions: int, name: str) -> list[str]:
    """Say in words what a sample size means for a Frechet distance.

    Parameters
    ----------
    count, dimensions : int
        Images in each set, and features of each image.
    name : str
        Of the metric.

    Returns
    -------
    list of str
        Empty where there are enough.

    Examples
    --------
    >>> size_warnings(5000, 44, "frechet_distance[handcrafted]")
    []
    """
    found = []
    if count <= dimensions:
        found.append(
            f"{name}: {count} images are too few for {dimensions} dimensions: the covariance is "
            "singular and most of the value can be bias. Compare it only with values of the same "
            "size, such as the real-real one"
        )
    elif count < 10 * dimensions:
        found.append(
            f"{name}: {count} images for {dimensions} dimensions leave a bias that goes with 1/N; "
            "compare only equal sizes, or the extrapolated value"
        )
    if name == "FID" and count < USUAL_SAMPLES:
        found.append(f"FID: {count} images are fewer than the {USUAL_SAMPLES} that FID asks for")
    return found


def _shuffled_units(
    count: int, groups: Array | None, random: np.random.Generator
) -> list[list[int]]:
    if groups is None:
        return [[int(row)] for row in random.permutation(count)]
    if len(groups) != count:
        raise MetricError("groups", f"{len(groups)} entries", f"one for each of {count} images")
    units = np.unique(groups, return_inverse=True)[1]
    members = [np.flatnonzero(units == unit).tolist() for unit in range(int(units.max()) + 1)]
    return [members[i] for i in random.permutation(len(members))]
