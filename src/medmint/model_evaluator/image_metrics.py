"""Metrics of a report that compare images themselves: variety and privacy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace

import numpy as np

from medmint import metrics
from medmint.metrics.closeness import closeness, p_text
from medmint.metrics.image_search import nearest_images
from medmint.metrics.images import image_stack
from medmint.metrics.privacy import Privacy, privacy
from medmint.model_evaluator import figures
from medmint.model_evaluator.image_sets import ImageSet
from medmint.model_evaluator.rows import Row
from medmint.model_evaluator.sections import Comparison, Section

#: Pairs of images, and of volumes, which take long.
_PAIRS_2D, _PAIRS_3D = 200, 20


def diversity(comparison: Comparison) -> Section:
    """Measure how alike images of a set are: MS-SSIM of random pairs, and near-repetitions."""
    section = Section()
    _likeness_of_pairs(comparison, section)
    _repetitions(comparison, section)
    return section


def _likeness_of_pairs(comparison: Comparison, section: Section) -> None:
    count = len(comparison.real)
    most = _PAIRS_2D if image_stack(comparison.real.images[:1]).ndim == 4 else _PAIRS_3D
    pairs = min(most, count * (count - 1) // 2)
    likeness = {}
    for name, images in (
        ("real", comparison.real.images),
        ("synthetic", comparison.synthetic.images),
    ):
        mean, deviation = metrics.pairwise_ms_ssim(
            images,
            pairs=pairs,
            seed=comparison.seed,
            data_range=255.0 if images.dtype == np.uint8 else 1.0,
        )
        likeness[name] = {"mean": mean, "deviation": deviation}
    own, made = likeness["real"], likeness["synthetic"]
    section.details["ms_ssim_of_pairs"] = likeness | {"pairs": pairs}
    section.rows.append(
        Row(
            metric="ms_ssim_of_pairs",
            value=made["mean"],
            n=len(comparison.synthetic),
            better="lower",
            note=f"{pairs} pairs; real images: {own['mean']:.3f}",
        )
    )
    if made["mean"] > own["mean"] + 3 * own["deviation"]:
        section.findings.append(
            f"pairs of synthetic images are more alike than pairs of real ones (MS-SSIM "
            f"{made['mean']:.3f} against {own['mean']:.3f}): too little variety"
        )


def _repetitions(comparison: Comparison, section: Section) -> None:
    real, made = (
        nearest_images(images, images, excluded=np.eye(len(images), dtype=bool)).distance
        for images in (comparison.real.images, comparison.synthetic.images)
    )
    repeats = closeness("pixels", made, real)
    section.rows.append(
        Row(
            metric="repeated_share",
            value=repeats.close_share,
            n=len(comparison.synthetic),
            better="lower",
            note=f"distance to the nearest other image below {repeats.threshold:.3f}, "
            "that of 1 % of real",
        )
    )
    if repeats.is_close:
        section.findings.append(
            f"{repeats.close_share:.1%} of the synthetic images nearly repeat another one, where "
            f"1 % of real images do ({p_text(repeats.close_p_value)}): the model has collapsed "
            "in part"
        )


def closeness_to_training(comparison: Comparison) -> Section:
    """Look for copies of training images, and ask whether members can be told."""
    section = Section()
    train, holdout = comparison.train or comparison.real, comparison.holdout
    kind = "real" if comparison.train is None else "training"
    if comparison.train is None:
        section.warnings.append(
            "privacy: no training images were named (train=), so this says only whether the real "
            "images given are copied"
        )
    result = privacy(
        train.images,
        comparison.synthetic.images,
        holdout=None if holdout is None else holdout.images,
        extractor=comparison.extractors[0] if comparison.extractors else None,
        groups=(train.groups, None if holdout is None else holdout.groups),
        seed=comparison.seed,
    )
    section.rows += _closeness_rows(result, len(comparison.synthetic), kind)
    section.rows += _told_apart_rows(result, comparison, train, kind)
    section.findings += result.findings
    spaces = [space for space in (result.pixels, result.features) if space is not None]
    names = {"synthetic": comparison.synthetic.names, "train": train.names}
    section.details["privacy"] = {
        "baseline": result.baseline,
        "thresholds": {space.space: space.threshold for space in spaces},
        "copies": [
            asdict(copy) | {name: names[name][getattr(copy, name)] for name in names}
            for copy in result.copies
        ],
    }
    section.pictures += [
        figures.nearest_pairs(comparison.synthetic.images, train.images, result, kind),
        figures.distances_to_reference(result, kind),
    ]
    return section


def _closeness_rows(result: Privacy, count: int, kind: str) -> Iterator[Row]:
    for space in filter(None, (result.pixels, result.features)):
        yield Row(
            metric=f"nearest_{kind}_ratio[{space.space}]",
            value=space.ratio,
            n=count,
            better="neither",
            note=f"median distance over that of the {result.baseline} images; "
            f"{p_text(space.p_value)}",
        )
        yield Row(
            metric=f"copied_share[{space.space}]",
            value=space.close_share,
            n=count,
            better="lower",
            note=f"nearer than 99 % of the {result.baseline} images; {p_text(space.close_p_value)}",
        )


def _told_apart_rows(
    result: Privacy, comparison: Comparison, train: ImageSet, kind: str
) -> Iterator[Row]:
    accuracies = {
        kind: result.adversarial_accuracy_train,
        "holdout": result.adversarial_accuracy_holdout,
    }
    for against, accuracy in accuracies.items():
        if accuracy is not None:
            yield Row(
                metric=f"adversarial_accuracy[{against}]",
                value=accuracy,
                n=len(comparison.synthetic),
                better="neither",
                note="0.5 where real and synthetic cannot be told apart, towards 0 for copies",
            )
    interval = result.membership_interval
    if result.membership_auc is not None and interval is not None:
        yield Row(
            metric="membership_auc",
            value=result.membership_auc,
            n=len(train) + len(comparison.holdout or ()),
            better="neither",
            interval=replace(interval, unit=train.unit) if interval.unit == "group" else interval,
            note="0.5 where training images cannot be told from others",
        )
