"""Metrics of a report that compare features: distances, and what share of the sets overlaps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medmint import metrics
from medmint.errors import MetricError
from medmint.metrics.comparison import (
    Relative,
    Statistic,
    equal_halves,
    relative_distance,
    size_curve,
    size_warnings,
    subsample_interval,
)
from medmint.model_evaluator import figures
from medmint.model_evaluator.rows import Better, Row
from medmint.model_evaluator.sections import Comparison, Section

if TYPE_CHECKING:
    from medmint.metrics import FeatureExtractor

Floats = NDArray[np.float64]
#: A set has less variety than real images if a measure of it falls below this share of theirs.
LEAST_VARIETY = 0.5
#: Neighbours that reach a ball's edge, as precision and recall are published.
NEIGHBOURS = 3
#: Subsets of the kernel distance, and images in each, as papers have them.
_SUBSETS, _SUBSET = 100, 1000


def frechet(comparison: Comparison) -> Section:
    """Measure the Frechet distance, its lower bound, and what becomes of it at larger N."""
    section = Section()
    for extractor in comparison.extractors:
        real, made = comparison.features(extractor)
        name = metrics.metric_name("frechet_distance", extractor)
        statistic: Statistic = metrics.frechet_distance
        section.rows.append(_row(comparison, extractor, name, "lower", statistic, section))
        if halves := section.details[name].get("halves"):
            short = "rFID" if name == "FID" else metrics.metric_name("relative_frechet", extractor)
            _relate(section, short, halves)
        section.warnings += size_warnings(len(real), real.shape[1], name)
        _against_size(section, name, comparison, extractor)
        _extrapolate(section, name, real, made, comparison.seed)
        section.pictures.append(figures.embedding(real, made, extractor.name))
    return section


def _relate(section: Section, name: str, halves: Mapping[str, Any]) -> None:
    """Lay the distance beside its lower bound, as a ratio."""
    if halves["real_synthetic_mean"] <= 0:
        section.warnings.append(f"{name} is undefined: the sets are at no distance")
        return
    ratio = metrics.rfid(halves["real_synthetic_mean"], halves["real_real_mean"])
    section.rows.append(
        Row(
            metric=name,
            value=ratio,
            n=halves["size"],
            better="higher",
            note=f"mean of {halves['repeats']} splits, {halves['unit']}s not shared",
        )
    )
    if ratio > 1:
        section.findings.append(
            f"{name} is {ratio:.2f}, above 1: synthetic images are nearer to real ones than real "
            "ones are to each other, by chance in small sets, by copies or by too little variety"
        )


def kernel(comparison: Comparison) -> Section:
    """Measure the kernel distance over all pairs, and the mean over subsets that papers print."""
    section = Section()
    for extractor in comparison.extractors:
        real, made = comparison.features(extractor)
        name = metrics.metric_name("kid", extractor)
        section.rows.append(_row(comparison, extractor, name, "lower", metrics.kid, section))
        section.details[name]["subsets"] = _subsets(real, made, comparison.seed)
        if len(real) <= _SUBSET:
            section.warnings.append(
                f"{name}: with {len(real)} images every subset would be the whole set, so there is "
                f"no mean over subsets of {_SUBSET:,} to lay beside those of papers"
            )
    return section


def _subsets(real: Floats, made: Floats, seed: int) -> dict[str, Any]:
    """Return the mean over subsets; one that is the whole set has no deviation."""
    if len(real) <= _SUBSET:
        value = metrics.kid(real, made)
        return {"mean": value, "deviation": None, "subsets": 1, "subset_size": len(real)}
    mean, deviation = metrics.kid_subsets(
        real, made, subsets=_SUBSETS, subset_size=_SUBSET, seed=seed
    )
    return {
        "mean": mean,
        "deviation": deviation,
        "subsets": _SUBSETS,
        "subset_size": _SUBSET,
    }


def precision_recall(comparison: Comparison) -> Section:
    """Measure precision and recall in feature space, and for each class where it is known."""
    section = _shares(comparison, ("precision", "recall"), metrics.precision_recall)
    for extractor in comparison.extractors:
        _by_class(section, comparison, extractor)
    return section


def _by_class(section: Section, comparison: Comparison, extractor: FeatureExtractor) -> None:
    """Say which classes of real images are met, and which classes of synthetic ones look real.

    Both are shares of single images, so those of a class are measured in the other set as a whole.
    """
    real, made = comparison.features(extractor)
    for name, labels in (
        ("precision", comparison.synthetic.labels),
        ("recall", comparison.real.labels),
    ):
        classes = sorted(set(labels or ()))
        for label in classes if len(classes) > 1 else ():
            rows = np.array(labels) == label
            if rows.sum() <= NEIGHBOURS:
                section.warnings.append(f"{name}: {rows.sum()} images of {label} are too few")
                continue
            of = "synthetic" if name == "precision" else "real"
            one, other = (real, made[rows]) if name == "precision" else (real[rows], made)
            shares = metrics.precision_recall(one, other, k=NEIGHBOURS)
            section.rows.append(
                Row(
                    metric=f"{name}[{extractor.name}, {label}]",
                    value=shares[0] if name == "precision" else shares[1],
                    n=int(rows.sum()),
                    better="higher",
                    note=f"of the {of} images of class {label}",
                )
            )


def density_coverage(comparison: Comparison) -> Section:
    """Measure density and coverage in feature space."""
    return _shares(comparison, ("density", "coverage"), metrics.density_coverage)


def _row(
    comparison: Comparison,
    extractor: FeatureExtractor,
    name: str,
    better: Better,
    statistic: Statistic,
    section: Section,
) -> Row:
    """Measure with an interval, and beside it between real images."""
    real, made = comparison.features(extractor)
    groups, seed = comparison.real.groups, comparison.seed
    bounds = (0.0, 1.0) if better == "higher" else (-np.inf, np.inf)
    if name.startswith(("density", "frechet", "FID")):
        bounds = (0.0, np.inf)
    section.details[name] = {}
    row = Row(metric=name, value=float(statistic(real, made)), n=len(real), better=better)
    try:
        relative = relative_distance(real, made, statistic, groups=groups, seed=seed)
        interval = subsample_interval(
            real, made, statistic, groups=groups, seed=seed, bounds=bounds
        )
    except MetricError as error:
        section.warnings.append(f"{name}: halves are too small for an interval ({error})")
        return row
    section.details[name]["halves"] = _halves(relative, comparison.real.unit)
    # Draws that are all alike, such as a recall of 0, leave nothing to judge their spread by.
    spread = interval.high > interval.low
    return replace(
        row,
        interval=replace(interval, unit=comparison.real.unit) if spread else None,
        real_real=float(relative.real_real.mean()),
        at_half=float(relative.real_synthetic.mean()),
    )


def _halves(relative: Relative, unit: str) -> dict[str, Any]:
    return {
        "size": relative.size,
        "unit": unit,
        "repeats": len(relative.real_real),
        "real_real": relative.real_real,
        "real_synthetic": relative.real_synthetic,
        "real_real_mean": float(relative.real_real.mean()),
        "real_synthetic_mean": float(relative.real_synthetic.mean()),
    }


def _against_size(
    section: Section, name: str, comparison: Comparison, extractor: FeatureExtractor
) -> None:
    """Draw the distance, and that between real halves, against N."""
    real, made = comparison.features(extractor)
    seed = comparison.seed
    curves = {"real-synthetic": size_curve(real, made, metrics.frechet_distance, seed=seed)}
    if "halves" in section.details[name]:
        random = np.random.default_rng(seed)
        first, second = equal_halves(len(real), random, groups=comparison.real.groups)
        own = size_curve(real[first], real[second], metrics.frechet_distance, seed=seed)
        curves["real-real"] = own
    section.pictures.append(figures.against_size(curves, name))
    section.details[name]["against_size"] = {label: asdict(one) for label, one in curves.items()}


def _extrapolate(section: Section, name: str, real: Floats, made: Floats, seed: int) -> None:
    """Carry the distance on to infinitely many images where that is sound."""
    try:
        infinite = metrics.frechet_distance_extrapolated(real, made, seed=seed)
    except MetricError as error:
        section.details[name]["extrapolated"] = {"value": None, "reason": str(error)}
        section.warnings.append(f"{name}: not extrapolated to infinitely many images ({error})")
        return
    section.details[name]["extrapolated"] = infinite._asdict()
    section.rows.append(
        Row(
            metric=f"{name} at infinite N",
            value=infinite.value,
            n=len(real),
            better="lower",
            note="by a line through 1/N; below 0 by chance only",
        )
    )


def _shares(
    comparison: Comparison,
    names: tuple[str, str],
    measure: Callable[[Any, Any], tuple[float, float]],
) -> Section:
    """Measure a pair of shares, and say so where the second, that of variety, is low."""
    section = Section()
    for extractor in comparison.extractors:
        for place, metric in enumerate(names):
            name = metrics.metric_name(metric, extractor)
            statistic = partial(_part, measure, place)
            row = _row(comparison, extractor, name, "higher", statistic, section)
            section.rows.append(row)
            if place == 1 and (row.at_half or 0.0) < LEAST_VARIETY * (row.real_real or 0.0):
                section.findings.append(
                    f"{name} is {row.at_half:.2f} where real images have {row.real_real:.2f}, at "
                    "equal size: a large part of the variety of real images is missing"
                )
    return section


def _part(
    measure: Callable[[Any, Any], tuple[float, float]], place: int, real: Floats, made: Floats
) -> float:
    return measure(real, made)[place]
