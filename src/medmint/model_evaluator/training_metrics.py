"""The metric of a report that trains networks: what synthetic images are good for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medmint.errors import MetricError
from medmint.metrics.downstream import EMPTY_MASK_RULE, Usefulness, usefulness
from medmint.metrics.training_plan import SYNTHETIC, Examples
from medmint.model_evaluator import figures
from medmint.model_evaluator.image_sets import ImageSet
from medmint.model_evaluator.rows import Row
from medmint.model_evaluator.sections import Comparison, Section
from medmint.progress import progress_bar

Array = NDArray[Any]


def downstream(comparison: Comparison) -> Section:
    """Train small networks with and without the synthetic images and compare them."""
    for name in ("train", "holdout"):
        if name not in comparison.whole:
            raise MetricError(name, "nothing", "real images with masks or labels, for usefulness")
    examples = _examples(comparison.whole)
    with progress_bar("networks") as progress:
        result = usefulness(
            examples["train"],
            examples["synthetic"],
            examples["holdout"],
            examples["real"],
            plan=comparison.plan,
            progress=progress,
        )
    section = Section(pictures=[figures.usefulness(result)], findings=[result.verdict])
    test = comparison.whole["real"]
    section.rows += _score_rows(result, len(test))
    section.rows += _difference_rows(result, test)
    section.details["usefulness"] = {
        "task": result.task,
        "verdict": result.verdict,
        "plan": asdict(result.plan),
        "empty_masks": EMPTY_MASK_RULE if result.task == "segmentation" else None,
        "runs": [
            {"arm": r.arm, "fraction": r.fraction, "seed": r.seed, **r.scores} for r in result.runs
        ],
    }
    return section


def _score_rows(result: Usefulness, count: int) -> Iterator[Row]:
    for arm in result.plan.arms:
        for fraction in (None,) if arm == SYNTHETIC else result.plan.fractions:
            share = "" if fraction is None else f", {fraction:.0%}"
            for score in result.runs[0].scores:
                mean, deviation = result.mean_score(arm, fraction, score)
                yield Row(
                    metric=f"{score}[{arm}{share}]",
                    value=mean,
                    n=count,
                    better="higher",
                    note=f"mean over {len(result.plan.seeds)} seeds, deviation {deviation:.3f}",
                )


def _difference_rows(result: Usefulness, test: ImageSet) -> Iterator[Row]:
    for one in result.differences:
        yield Row(
            metric=f"{one.score}[{one.arm} - {one.against}, {one.fraction:.0%}]",
            value=one.value,
            n=len(test),
            better="higher",
            interval=replace(one.interval, unit=test.unit),
            note=one.verdict,
        )


def _examples(known: Mapping[str, ImageSet]) -> dict[str, Examples]:
    """Return sets with their targets: masks where all have them, else labels."""
    masked = all(images.masks is not None for images in known.values())
    classes = sorted({label for images in known.values() for label in images.labels or ()})
    examples = {}
    for name, images in known.items():
        if masked:
            targets: Array | None = images.masks
        else:
            targets = (
                None
                if images.labels is None
                else np.array([classes.index(label) for label in images.labels])
            )
        if targets is None:
            raise MetricError(
                name, "neither masks nor labels", "masks/ or labels.csv beside images/"
            )
        pixels = images.images
        if pixels.dtype != np.uint8:
            pixels = np.round(pixels * 255).astype(np.uint8)
        examples[name] = Examples(images=pixels, targets=targets, groups=images.groups)
    return examples
