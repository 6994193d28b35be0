"""Do masks fit their images, and are pairs good for something? Networks trained to find out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medmint.metrics.downstream import EMPTY_MASK_RULE, Usefulness, usefulness
from medmint.metrics.scores import dice
from medmint.metrics.training import Trained, Trainer
from medmint.metrics.training_plan import REAL, SYNTHETIC, Examples, TrainingPlan
from medmint.model_trainer.judging.evidence import Effort, Evidence
from medmint.model_trainer.judging.model import Samples
from medmint.model_trainer.judging.numbers import Goal, Measured, Section, Table
from medmint.model_trainer.judging.resampling import resamples, with_interval

Floats = NDArray[np.float64]

MOST_OFF, LEAST_SHARE = 0.1, 0.75
PERCENTILES = (5, 25, 50, 75, 95)


def mask_fit(evidence: Evidence) -> Section:
    """Compare the areas of masks, and how well a network trained on real pairs finds them."""
    count = evidence.effort.copies
    drawn, real = evidence.pool(count), evidence.real()
    plan = training_plan(evidence.effort)
    train, val = examples(evidence, "train"), examples(evidence, "val")
    trainer = Trainer(plan, val, classes=0)
    networks = [trainer.train(train, None, augment=True, seed=seed) for seed in plan.seeds]
    on_real = mean_dice(networks, examples(evidence, evidence.split))
    on_samples = mean_dice(networks, pairs(drawn, plan.side))
    patients = evidence.read(evidence.split).patients

    differences = _means(on_samples, None, seed=1) - _means(on_real, patients)
    off = with_interval(float(on_samples.mean() - on_real.mean()), differences)
    return Section(
        title="Masks",
        about=(
            f"{len(drawn)} samples and the {len(real)} images of the {evidence.split} split. Dice: "
            f"of {len(networks)} U-Nets (seeds {_listed(plan.seeds)}) that were trained on "
            f"{len(train)} real pairs with classical augmentation, {plan.steps} steps of "
            f"{plan.batch_size} at {plan.side} x {plan.side} pixels, weights chosen on val; 95 % "
            "interval by bootstrap over patients (images where none are known) and samples. "
            f"{EMPTY_MASK_RULE}."
        ),
        tables=(
            Table(
                columns=("", "Dice", "empty", "area in % at the percentiles 5, 25, 50, 75, 95"),
                rows=(
                    (f"real, {evidence.split}", _interval(on_real, patients), *_areas(real)),
                    ("this model", _interval(on_samples, None), *_areas(drawn)),
                ),
                caption="Areas are of masks that are not empty.",
            ),
        ),
        goals=(
            Goal(
                text=f"Dice on samples within {MOST_OFF} of that on real images (difference)",
                measured=off,
                is_met=abs(off.value) <= MOST_OFF,
            ),
        ),
    )


def mask_usefulness(evidence: Evidence) -> Section:
    """Train U-Nets on real and synthetic pairs, with and without classical augmentation."""
    plan = training_plan(evidence.effort)
    synthetic = pairs(evidence.pool(evidence.effort.pairs), plan.side)
    train = examples(evidence, "train")
    test = examples(evidence, evidence.split)
    val = chosen_on(evidence, examples(evidence, "val"))
    found = usefulness(train, synthetic, val, test, plan=plan)
    share = _share(found, test)
    return Section(
        title="Pairs as training data",
        about=(
            f"U-Nets trained on {len(train)} real pairs, {len(synthetic)} synthetic ones, or both "
            f"(half of each batch), tested on the {len(test)} real pairs of the {evidence.split} "
            f"split: {plan.steps} steps of {plan.batch_size} at {plan.side} x {plan.side} pixels "
            f"in every arm, weights chosen on val, seeds {_listed(plan.seeds)}. 95 % intervals by "
            "bootstrap over patients (images where none are known) and seeds. "
            f"{EMPTY_MASK_RULE}."
        ),
        tables=(
            Table(
                columns=("trained on", "Dice"),
                rows=tuple((arm, _arm(found, arm, test)) for arm in plan.arms),
            ),
            differences_table(found),
        ),
        goals=(
            Goal(
                text=f"synthetic pairs alone at least {LEAST_SHARE} of the Dice of real ones alone",
                measured=share,
                is_met=share.value >= LEAST_SHARE,
            ),
        ),
        notes=(found.verdict,),
    )


def training_plan(effort: Effort) -> TrainingPlan:
    """Return how networks are trained to judge by: all real images, three seeds."""
    every = max(effort.steps // 8, 1)
    return TrainingPlan(steps=effort.steps, every=every, side=effort.side, fractions=(1.0,))


def examples(evidence: Evidence, split: str) -> Examples:
    """Return the real pairs of a split, with patients."""
    found = pairs(evidence.real(split), evidence.effort.side)
    return Examples(
        images=found.images, targets=found.targets, groups=evidence.read(split).patients
    )


def chosen_on(evidence: Evidence, val: Examples) -> Examples:
    """Return the val images that choose weights.

    Where a model is still developed, on val, they judge too: their patients are not told, since
    sets that share patients are refused. Cards say that numbers of val flatter.
    """
    if evidence.split != "val":
        return val
    return Examples(images=val.images, targets=val.targets)


def pairs(samples: Samples, side: int) -> Examples:
    """Return images and masks at the size at which networks work: many large ones take memory."""
    if samples.masks is None:
        raise RuntimeError("masks are measured only of packages that have them")
    images, masks = reduced(samples.images, side), reduced(samples.masks, side)
    return Examples(images=images, targets=(masks >= 128).astype(np.uint8))


def reduced(images: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Bring square images down to a side, antialiased; smaller ones stay as they are."""
    import torch
    from torch.nn import functional

    if images.shape[1] <= side:
        return images
    parts = []
    for start in range(0, len(images), 256):
        values = torch.from_numpy(images[start : start + 256].astype(np.float32))
        values = values[..., None] if values.ndim == 3 else values
        small = functional.interpolate(
            values.permute(0, 3, 1, 2), size=(side, side), mode="bilinear", antialias=True
        )
        whole = small.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
        parts.append(whole[..., 0] if images.ndim == 3 else whole)
    return np.concatenate(parts)


def mean_dice(networks: list[Trained], given: Examples) -> Floats:
    """Return the Dice of each pair, the mean over networks."""
    found = [dice(net.reduced(given.targets), net.predict(given.images)) for net in networks]
    return np.asarray(np.mean(found, axis=0))


def differences_table(found: Usefulness) -> Table:
    """Return what one arm is better by than another."""
    return Table(
        columns=("arms", f"difference in {found.differences[0].score}", ""),
        rows=tuple(
            (
                f"{d.arm}, less {d.against}",
                Measured(d.value, d.interval.low, d.interval.high),
                d.verdict,
            )
            for d in found.differences
        ),
    )


def _share(found: Usefulness, test: Examples) -> Measured:
    """Return the Dice of synthetic pairs alone as a share of that of real ones alone."""
    one, other = (_outcomes(found, arm) for arm in (SYNTHETIC, REAL))
    shares = _means_of_seeds(one, test) / np.maximum(_means_of_seeds(other, test), 1e-9)
    return with_interval(float(one.mean() / max(other.mean(), 1e-9)), shares)


def _arm(found: Usefulness, arm: str, test: Examples) -> Measured:
    outcomes = _outcomes(found, arm)
    return with_interval(float(outcomes.mean()), _means_of_seeds(outcomes, test))


def _outcomes(found: Usefulness, arm: str) -> Floats:
    return np.stack([run.outcome for run in found.runs if run.arm == arm])


def _means_of_seeds(outcomes: Floats, test: Examples) -> Floats:
    """Return the mean over networks and images, both drawn with replacement."""
    random = np.random.default_rng(0)
    drawn = [
        outcomes[random.integers(len(outcomes), size=len(outcomes))][:, rows].mean()
        for rows in resamples(len(test), test.groups)
    ]
    return np.array(drawn)


def _means(values: Floats, groups: NDArray[Any] | None, *, seed: int = 0) -> Floats:
    return np.array([values[rows].mean() for rows in resamples(len(values), groups, seed=seed)])


def _interval(values: Floats, groups: NDArray[Any] | None) -> Measured:
    return with_interval(float(values.mean()), _means(values, groups))


def _areas(samples: Samples) -> tuple[str, str]:
    """Return the share of empty masks, and percentiles of the areas of the others."""
    if samples.masks is None:
        raise RuntimeError("masks are measured only of packages that have them")
    areas = (samples.masks != 0).reshape(len(samples), -1).mean(axis=1) * 100
    filled = areas[areas > 0]
    if not len(filled):
        return "100.0%", "none"
    shape = ", ".join(f"{value:.1f}" for value in np.percentile(filled, PERCENTILES))
    return f"{np.mean(areas == 0):.1%}", shape


def _listed(seeds: tuple[int, ...]) -> str:
    return ", ".join(map(str, seeds))
