"""Measure the volume model: ``python evaluate.py --data FOLDER --split val --out FOLDER``.

Likeness of slices, copies and membership as for all models; besides these the volumes of both
parts in cubic millimetres, and how well a small 3D U-Net that saw synthetic volumes alone finds
the parts in real ones. Ends with ``numbers.json``, ``MODEL_CARD.md`` and ``samples.png``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from network import LABELS
from numpy.typing import NDArray
from pictures import sheet
from scipy import ndimage, stats
from segmentation import dice_of_each, train_network
from volumes import UNCHANGED, WIDELY, Volumes, find_boxes, planes, read_volumes

from medmint.metrics.features import SeededConvolution
from medmint.model_trainer import TrainingImages, run_script
from medmint.model_trainer.judging import (
    Effort,
    Evidence,
    Goal,
    Measured,
    Samples,
    Section,
    Subject,
    Table,
    evaluate_package,
    judging_parser,
    mean_interval,
)

FOLDER = Path(__file__).resolve().parent
PARTS = {1: "anterior", 2: "posterior"}
#: Planes of each axis that features are taken of, as shares of its length.
PLANES = (0.4, 0.5, 0.6)
#: Train subsets that say how far two real sets of volumes are apart.
SUBSETS = 1_000
LEAST_PIECE = 0.95
LEAST_DICE = 0.75


class SliceConvolution(SeededConvolution):
    """Features of nine slices of three axes, averaged over each volume."""

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return features of volumes (n, x, y, z), shape (n, 198)."""
        extract = super().__call__
        return np.asarray(np.mean([extract(plane) for plane in planes(images, PLANES)], axis=0))


def read(folder: Path, split: str) -> TrainingImages:
    """Read volumes in the form in which all models are judged."""
    volumes = read_volumes(folder, split)
    return TrainingImages(
        names=volumes.ids,
        images=volumes.images,
        masks=volumes.labels,
        conditions=np.zeros((len(volumes), 0), dtype=np.int64),
        patients=None,
    )


def sizes(labels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the voxels of each part of each volume, shape (n, 2); a voxel is 1 mm3."""
    counts = [(labels == label).sum(axis=(1, 2, 3)) for label in PARTS]
    return np.stack(counts, axis=1)


def largest_pieces(labels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return which share of each part is in one piece, shape (n, 2); 0 where a part is missing."""
    shares = np.zeros((len(labels), LABELS - 1))
    for row, volume in enumerate(labels):
        for column, label in enumerate(PARTS):
            pieces, count = ndimage.label(volume == label)
            if count:
                amounts = np.bincount(pieces.ravel())[1:]
                shares[row, column] = amounts.max() / amounts.sum()
    return shares


def shapes(evidence: Evidence) -> Section:
    """Compare the volumes of the parts, and look whether each is in one piece."""
    real, train = (sizes(_masks(evidence, split)) for split in (evidence.split, "train"))
    draws = [sizes(_needed(evidence.draw(seed).masks)) for seed in range(evidence.effort.draws)]
    random = np.random.default_rng(0)
    rows, goals = [], []
    for column, name in enumerate(PARTS.values()):
        test, others, *own = (amounts[:, column] for amounts in (real, train, *draws))
        limit, apart = _apart(test, others, random)
        found = mean_interval(_ks(one, test) for one in own)
        for source, values, distance in (
            (evidence.split, test, None),
            ("train", others, Measured(apart)),
            ("this model", np.concatenate(own), found),
        ):
            mean, deviation = float(values.mean()), float(values.std(ddof=1))
            rows.append((f"{name}, {source}", mean, deviation, distance))
        goals.append(
            Goal(
                text=f"Kolmogorov-Smirnov distance of {name} volumes at most {limit:.3f}, the "
                "95th percentile of train subsets",
                measured=found,
                is_met=found.value <= limit,
            )
        )
    pieces, piece_rows = _pieces(evidence)
    return Section(
        title="Parts of the hippocampus",
        about=(
            f"Voxels of each label, 1 mm3 each. {evidence.effort.draws} draws of {evidence.count} "
            f"samples against the {len(real)} volumes of the {evidence.split} split: the "
            "Kolmogorov-Smirnov distance of the volumes, mean and 95 % interval over the draws; "
            f"for train the mean over {SUBSETS:,} subsets of {evidence.count}. Pieces are "
            "connected over faces."
        ),
        tables=(
            Table(columns=("", "mean in mm3", "deviation in mm3", "distance"), rows=tuple(rows)),
            Table(
                columns=(
                    "share of a part in its largest piece",
                    "mean",
                    "lowest",
                    f"parts below {LEAST_PIECE:.0%}",
                ),
                rows=piece_rows,
            ),
        ),
        goals=(*goals, pieces),
    )


def _apart(
    real: NDArray[np.int64], train: NDArray[np.int64], random: np.random.Generator
) -> tuple[float, float]:
    """Return how far train subsets are from as many real ones: 95th percentile and mean."""
    subsets = [_ks(random.choice(train, len(real), replace=False), real) for _ in range(SUBSETS)]
    return float(np.percentile(subsets, 95)), float(np.mean(subsets))


def _pieces(evidence: Evidence) -> tuple[Goal, tuple[tuple[str | float, ...], ...]]:
    whole = evidence.model.with_options({"largest_only": False})
    kept = largest_pieces(_needed(evidence.draw(0).masks))
    raw = largest_pieces(_needed(evidence.draw(0, whole).masks))
    sources = {
        evidence.split: largest_pieces(_masks(evidence, evidence.split)),
        "this model": kept,
        "this model with largest_only=False": raw,
    }
    rows = tuple(
        (name, float(s.mean()), float(s.min()), f"{(s < LEAST_PIECE).mean():.1%}")
        for name, s in sources.items()
    )
    goal = Goal(
        text=f"largest piece at least {LEAST_PIECE:.0%} of each part of each sample",
        measured=Measured(float(kept.min())),
        is_met=bool(kept.min() >= LEAST_PIECE),
    )
    return goal, rows


def segmentation(evidence: Evidence) -> Section:
    """Train a 3D U-Net on real and on synthetic volumes, and test it on real ones."""
    real, test = (_volumes(evidence, split) for split in ("train", evidence.split))
    made, steps = _made(evidence), evidence.effort.steps
    arms = {
        "real": ([real], UNCHANGED),
        "real, augmented": ([real], WIDELY),
        "synthetic": ([made], UNCHANGED),
        "synthetic, augmented": ([made], WIDELY),
        "real and synthetic, augmented": ([real, made], WIDELY),
    }
    scores = {
        name: dice_of_each(train_network(sources, steps=steps, seed=0, amounts=amounts), test)
        for name, (sources, amounts) in arms.items()
    }
    ratio = _ratio(scores["synthetic"].mean(axis=1), scores["real"].mean(axis=1))
    return Section(
        title="A 3D U-Net trained on synthetic volumes, tested on real ones",
        about=(
            f"Dice of each label on the {len(test)} volumes of the {evidence.split} split, mean "
            "with its 95 % interval over volumes. "
            f"{len(real)} real and {len(made)} synthetic volumes, {steps} steps of 4 in each arm, "
            "one training each, the last weights: how much another seed would change is not in "
            "the intervals. Augmented: turned, zoomed, moved, cropped, brightened, as in training "
            "the autoencoder."
        ),
        tables=(
            Table(
                columns=("trained on", *PARTS.values()),
                rows=tuple(
                    (name, *(mean_interval(column) for column in score.T))
                    for name, score in scores.items()
                ),
            ),
        ),
        goals=(
            Goal(
                text=f"Dice after synthetic volumes alone at least {LEAST_DICE} of real alone",
                measured=ratio,
                is_met=ratio.value >= LEAST_DICE,
            ),
        ),
    )


def picture(samples: Samples) -> NDArray[np.uint8]:
    """Draw each sample as three slices."""
    return sheet(samples.images, _needed(samples.masks))


def _ratio(one: NDArray[np.float64], other: NDArray[np.float64]) -> Measured:
    """Return the ratio of two means over the same volumes, its interval by bootstrap."""
    rows = np.random.default_rng(0).integers(len(one), size=(1_000, len(one)))
    drawn = one[rows].mean(axis=1) / other[rows].mean(axis=1)
    low, high = np.percentile(drawn, (2.5, 97.5))
    return Measured(float(one.mean() / other.mean()), float(low), float(high))


def _ks(one: NDArray[np.int64], other: NDArray[np.int64]) -> float:
    return float(stats.ks_2samp(one, other).statistic)


def _masks(evidence: Evidence, split: str) -> NDArray[np.uint8]:
    return _needed(evidence.read(split).masks)


def _needed(masks: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    if masks is None:
        raise RuntimeError("both the model and its training folder have label maps")
    return masks


def _volumes(evidence: Evidence, split: str) -> Volumes:
    found = evidence.read(split)
    return Volumes(
        ids=found.names,
        images=found.images,
        labels=_masks(evidence, split),
        boxes=find_boxes(found.images),
    )


def _made(evidence: Evidence) -> Volumes:
    pool = evidence.pool(evidence.effort.pairs)
    return Volumes(
        ids=tuple(map(str, range(len(pool)))),
        images=pool.images,
        labels=_needed(pool.masks),
        boxes=find_boxes(pool.images),
    )


SUBJECT = Subject(
    folder=FOLDER,
    size=64,
    read=read,
    extractor=SliceConvolution(),
    sheet=picture,
    most_seconds=None,
    effort=Effort(pairs=500, steps=300),
    sections={"shapes": shapes, "segmentation": segmentation},
)


def main() -> None:
    """Measure, and write numbers, card and picture."""
    evaluate_package(SUBJECT, judging_parser(SUBJECT, str(__doc__)).parse_args())


if __name__ == "__main__":
    run_script(main)
