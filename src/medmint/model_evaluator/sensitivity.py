"""How much a Frechet distance owes to the way in which it was measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import product
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medmint.errors import ArgumentError, MetricError
from medmint.metrics import find_extractor, frechet_distance, metric_name, standardise
from medmint.metrics.images import Normalisation
from medmint.model_evaluator import figures
from medmint.model_evaluator.image_sets import ImageSet, read_image_set
from medmint.model_evaluator.page import figure, page, table
from medmint.model_evaluator.preparation import on_one_scale, resized
from medmint.model_evaluator.report import written
from medmint.model_evaluator.rows import Picture
from medmint.model_evaluator.sections import UNSCALED
from medmint.tables import format_table

Floats = NDArray[np.float64]
#: By less than this share values differ through the order of their sums alone.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Variations:
    """What is varied: every combination is measured.

    Attributes
    ----------
    extractors : sequence of str or networks
        Feature networks ("backbones").
    normalisations : sequence of {"none", "minmax", "percentile"}
    sides : sequence of int
        Images are resized to side x side pixels before a network resizes them to its own size.
    sizes : sequence of int
        Numbers of images in each set.
    seeds : sequence of int
        Of the images that are drawn.
    """

    extractors: Sequence[Any] = ("seeded_convolution", "descriptors")
    normalisations: Sequence[Normalisation] = ("none", "minmax")
    sides: Sequence[int] = (64, 128)
    sizes: Sequence[int] = (50, 100, 200)
    seeds: Sequence[int] = (0, 1, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A distance, and how it was measured."""

    metric: str
    extractor: str
    normalisation: str
    side: int
    n: int
    seed: int
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """Distances of the same images under all variations; printed, it is a table.

    Attributes
    ----------
    points : tuple of Point
    pictures : tuple of Picture
        Distances against N, and normalised against not normalised.
    """

    points: tuple[Point, ...]
    pictures: tuple[Picture, ...] = field(default=(), repr=False)

    def rows(self) -> list[dict[str, Any]]:
        """Return a line per combination, mean and deviation over the seeds.

        The deviation is None where nothing varies: one seed, or subsets that are the whole set.
        """
        lines: dict[tuple[Any, ...], list[float]] = {}
        for point in self.points:
            key = (point.metric, point.normalisation, point.side, point.n)
            lines.setdefault(key, []).append(point.value)
        names = ("metric", "normalisation", "side", "n")
        return [
            dict(zip(names, key, strict=True))
            | {"mean": float(np.mean(values)), "deviation": _deviation(values)}
            for key, values in lines.items()
        ]

    def __str__(self) -> str:
        return format_table(self.rows())

    def save_html(self, path: str | PathLike[str]) -> Path:
        """Write the table and plots as one page.

        Raises
        ------
        WriterError
            If it cannot be written.
        """
        title = "Sensitivity of the Frechet distance"
        rows = [
            row | {n: "" if row[n] is None else f"{row[n]:.4g}" for n in ("mean", "deviation")}
            for row in self.rows()
        ]
        return written(
            path, page(title, [f"<h1>{title}</h1>", table(rows), *map(figure, self.pictures)])
        )


def fid_sensitivity(real: Any, synthetic: Any, variations: Variations | None = None) -> Sensitivity:
    """Measure the Frechet distance under every combination of variations.

    Parameters
    ----------
    real, synthetic : path, array or sequence of arrays
        Single images; of volumes, give slices.
    variations : Variations, optional

    Returns
    -------
    Sensitivity

    Raises
    ------
    ArgumentError
        If a setting has no values.
    MetricError
        If there are fewer images than a size asks for, or they are volumes.

    References
    ----------
    Osuala et al., "medigan", J. Med. Imaging 10(6), 061403, 2023, section 4.1, Figure 9.

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> real, synthetic = random.integers(0, 256, (2, 20, 32, 32)).astype(np.uint8)
    >>> variations = Variations(extractors=["descriptors"], sides=[32], sizes=[10, 20], seeds=[0])
    >>> len(fid_sensitivity(real, synthetic, variations).points)
    4
    """
    variations = variations or Variations()
    for name, values in _values(variations).items():
        if not len(values):
            raise ArgumentError(name, values, "at least one value")
    own, made = read_image_set(real), read_image_set(synthetic, name="synthetic")
    sets, _ = on_one_scale({"real": own, "synthetic": made}, None)
    available = min(len(own), len(made))
    if max(variations.sizes) > available:
        raise MetricError(
            "sizes", str(max(variations.sizes)), f"at most {available}, as images are"
        )
    points = tuple(_points(sets["real"], sets["synthetic"], variations))
    plain = [asdict(point) for point in points]
    pictures = [figures.sensitivity(plain)]
    if len(set(variations.normalisations)) > 1:
        pictures.append(figures.normalised_or_not(plain))
    return Sensitivity(points=points, pictures=tuple(pictures))


def _values(variations: Variations) -> dict[str, Sequence[Any]]:
    """Return the values of each setting, networks as they are."""
    return {name: getattr(variations, name) for name in variations.__slots__}


def _deviation(values: Sequence[float]) -> float | None:
    varies = np.ptp(values) > _ROUNDING * max(map(abs, values))
    return float(np.std(values)) if varies else None


def _points(real: ImageSet, synthetic: ImageSet, variations: Variations) -> Iterator[Point]:
    for side in variations.sides:
        images = [_at_side(one.images, side) for one in (real, synthetic)]
        for given, normalisation in product(variations.extractors, variations.normalisations):
            extractor = find_extractor(given, normalisation=normalisation)
            features = [extractor(one) for one in images]
            if extractor.name in UNSCALED:
                features = list(standardise(*features))
            for size, seed in product(variations.sizes, variations.seeds):
                random = np.random.default_rng(seed)
                drawn = [one[random.permutation(len(one))[:size]] for one in features]
                yield Point(
                    metric=metric_name("frechet_distance", extractor),
                    extractor=extractor.name,
                    normalisation=normalisation,
                    side=side,
                    n=size,
                    seed=seed,
                    value=frechet_distance(*drawn),
                )


def _at_side(images: Any, side: int) -> Any:
    if images.ndim > 3 and images.shape[-1] != 3:
        raise MetricError("real", f"volumes of shape {images.shape[1:]}", "single images or slices")
    stack = images if images.ndim == 4 else images[..., None]
    small = resized(stack, (side, side))
    return small if images.ndim == 4 else small[..., 0]
