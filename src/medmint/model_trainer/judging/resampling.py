"""Intervals over what was drawn by chance: images, or whole patients where they are known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medmint.metrics.comparison import LEVEL
from medmint.model_trainer.judging.numbers import Measured

Whole = NDArray[np.int64]
DRAWS = 1000


def resamples(
    count: int, groups: NDArray[Any] | None = None, *, seed: int = 0, draws: int = DRAWS
) -> Iterator[Whole]:
    """Yield rows drawn with replacement; all images of a drawn patient come along.

    Parameters
    ----------
    count : int
    groups : array, shape (count,), optional
        Patient of each row.
    seed, draws : int

    Examples
    --------
    >>> patients = np.array(["a", "a", "b"])
    >>> all(list(rows).count(0) == list(rows).count(1) for rows in resamples(3, patients, draws=9))
    True
    """
    names = np.arange(count) if groups is None else groups
    units = np.unique(names, return_inverse=True)[1]
    members = [np.flatnonzero(units == unit) for unit in range(int(units.max()) + 1)]
    random = np.random.default_rng(seed)
    for _ in range(draws):
        drawn = random.integers(len(members), size=len(members))
        yield np.concatenate([members[unit] for unit in drawn])


def with_interval(value: float, resampled: ArrayLike) -> Measured:
    """Return a value with the 95 % interval of what it is on resampled data.

    Examples
    --------
    >>> str(with_interval(5.0, list(range(11))))
    '5.000 (0.250 to 9.750)'
    """
    values = np.asarray(resampled, dtype=np.float64)
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Measured(value, float(low), float(high))
