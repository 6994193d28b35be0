"""Samples before and after a model: latent vectors, batches, and what a run leaves behind."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MANIFEST_NAME = "manifest.jsonl"
LARGEST_SEED = 2**63 - 1
_LATENT_STREAM = 0
_CONDITION_STREAM = 1

Array = NDArray[Any]


def draw_seed() -> int:
    """Return a seed that nobody chose, short enough to be read aloud."""
    return secrets.randbelow(2**32)


def latent_vectors(seed: int, start: int, stop: int, size: int) -> NDArray[np.float32]:
    """Draw the latent vectors of samples ``start`` to ``stop - 1`` of a seed.

    Sample i has a counter-based generator (Philox) of its own, keyed by (seed, i), so its latent
    vector is the same whatever batch it is in and whoever draws it.

    Parameters
    ----------
    seed, start, stop, size : int
        Seed, index of the first sample and of the one behind the last, length of a latent vector.

    Returns
    -------
    ndarray of float32, shape (stop - start, size)
        Standard normal values.

    References
    ----------
    Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

    Examples
    --------
    >>> whole = latent_vectors(7, 0, 10, 4)
    >>> bool((whole[3:5] == latent_vectors(7, 3, 5, 4)).all())
    True
    """
    rows = np.empty((stop - start, size), dtype=np.float32)
    for row, index in zip(rows, range(start, stop), strict=True):
        _generator(seed, index, _LATENT_STREAM).standard_normal(out=row, dtype=np.float32)
    return rows


def draw_conditions(seed: int, start: int, stop: int, count: int) -> NDArray[np.int64]:
    """Draw one of ``count`` classes for each of the samples ``start`` to ``stop - 1``.

    Examples
    --------
    >>> draw_conditions(7, 0, 4, 1).tolist()
    [0, 0, 0, 0]
    """
    draws = [_generator(seed, i, _CONDITION_STREAM).integers(count) for i in range(start, stop)]
    return np.array(draws, dtype=np.int64)


def batch_seed(seed: int, start: int) -> int:
    """Return the seed for a batch of a model that draws its own random numbers.

    Examples
    --------
    >>> batch_seed(7, 0) != batch_seed(7, 32)
    True
    """
    return int(_generator(seed, start, _LATENT_STREAM).integers(2**31))


def _generator(seed: int, index: int, stream: int) -> np.random.Generator:
    key = np.array([seed, index], dtype=np.uint64)
    counter = np.array([0, 0, 0, stream], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive samples in the form in which they are kept.

    Attributes
    ----------
    start : int
        Index of the first sample.
    arrays : mapping of str to ndarray, first axis n
        ``image`` (n, H, W), (n, H, W, C), (n, H, W, D) or (n, H, W, D, C); ``mask`` without
        channels; other outputs under their own names.
    labels : sequence of int or str, length n, or None
        Class of each sample where the model gives one.
    table : mapping of str to ndarray of shape (n,)
        Measurements that the model gives with each sample.
    """

    start: int
    arrays: Mapping[str, Array]
    labels: Sequence[int | str] | None = None
    table: Mapping[str, Array] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.arrays["image"])

    def samples(self) -> Iterator[Any]:
        """Yield each sample: an image array, or a tuple (image, mask, ..., label, table row)."""
        columns: list[Sequence[Any]] = [list(array) for array in self.arrays.values()]
        if self.labels is not None:
            columns.append(self.labels)
        if self.table:
            columns.append(self.rows())
        if len(columns) == 1:
            yield from columns[0]
        else:
            yield from zip(*columns, strict=True)

    def rows(self) -> list[dict[str, float | None]]:
        """Return the table as one dict per sample, None for what could not be measured."""
        return [
            {name: _measured(column[i]) for name, column in self.table.items()}
            for i in range(len(self))
        ]


def _measured(value: np.generic) -> float | None:
    # JSON knows no NaN.
    return value.item() if np.isfinite(value) else None


@dataclass(frozen=True, slots=True)
class GenerationResult:
    """What a saved run left behind.

    Attributes
    ----------
    folder : Path
        The output folder with ``manifest.jsonl``.
    count : int
        Number of samples in it.
    seed : int
        Seed of the run; the same call with it gives the same samples.
    """

    folder: Path
    count: int
    seed: int

    @property
    def paths(self) -> list[Path]:
        """Paths of the images, in sample order."""
        return [self.folder / line["image"] for line in self.samples()]

    def samples(self) -> Iterator[dict[str, Any]]:
        """Yield the manifest line of each sample: index, files, hashes, label."""
        with (self.folder / MANIFEST_NAME).open(encoding="utf-8") as lines:
            for line in lines:
                entry = json.loads(line)
                if "index" in entry:
                    yield entry
