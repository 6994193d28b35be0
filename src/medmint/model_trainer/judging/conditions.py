"""Whether samples are of the class that was asked for, and a classifier can learn from them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from medmint.metrics.downstream import Usefulness, usefulness
from medmint.metrics.scores import auroc
from medmint.metrics.training import Trained, Trainer
from medmint.metrics.training_plan import Examples, TrainingPlan
from medmint.model_trainer.judging.evidence import Evidence
from medmint.model_trainer.judging.mask_fit import (
    chosen_on,
    differences_table,
    reduced,
    training_plan,
)
from medmint.model_trainer.judging.numbers import Goal, Measured, Section, Table
from medmint.model_trainer.judging.resampling import resamples, with_interval
from medmint.model_trainer.labels import UNKNOWN

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

LEAST_RATIO = 0.9


def condition_fit(evidence: Evidence) -> Section:
    """Train classifiers on real images, and ask them what samples show."""
    count = evidence.count * evidence.effort.draws
    rows, goals = [], []
    for column, name in enumerate(evidence.subject.conditions):
        judged = _Judged(evidence, column, count)
        real, made, ratio = judged.accuracies()
        rows.append((name, real, made, ratio))
        goals.append(
            Goal(
                text=f"{name}: balanced accuracy on samples at least {LEAST_RATIO} of that on real "
                "images",
                measured=ratio,
                is_met=ratio.value >= LEAST_RATIO,
            )
        )
        for place, value, text in _groups(evidence, column):
            if judged.is_there(place, value):
                rows.append((f"{name} within {text}", *judged.accuracies((place, value))))
    plan = training_plan(evidence.effort)
    return Section(
        title="Conditions",
        about=(
            f"{count} samples, in the mixture of the training images, and the images of the "
            f"{evidence.split} split whose class is known. For each condition {len(plan.seeds)} "
            "classifiers were trained on real images, with or without classical augmentation "
            f"(whichever was better on val with the first seed), {plan.steps} steps of "
            f"{plan.batch_size} at {plan.side} x {plan.side} pixels, weights chosen on val; their "
            "probabilities are "
            "averaged. Balanced accuracy: 0.5 is chance for two classes. 95 % intervals by "
            "bootstrap over patients where they are known, and over samples."
        ),
        tables=(Table(columns=("", "on real images", "on samples", "ratio"), rows=tuple(rows)),),
        goals=tuple(goals),
        notes=(
            "What a classifier tells within one value of the other condition shows whether both "
            "are drawn, or one follows from the other.",
        ),
    )


def condition_usefulness(evidence: Evidence) -> Section:
    """Train classifiers on real and synthetic images; test them on real ones, within groups."""
    conditions = evidence.subject.conditions
    name = evidence.subject.predicted or next(iter(conditions))
    column = list(conditions).index(name)
    plan = training_plan(evidence.effort)
    drawn = evidence.pool(evidence.effort.pairs)
    synthetic = Examples(
        images=reduced(drawn.images, plan.side), targets=drawn.conditions[:, column]
    )
    train, val, test = (_known(evidence, s, column) for s in ("train", "val", evidence.split))
    found = usefulness(train[0], synthetic, chosen_on(evidence, val[0]), test[0], plan=plan)
    groups = {"all": np.ones(len(test[0]), dtype=bool)} | {
        text: test[1][:, place] == value for place, value, text in _groups(evidence, column)
    }
    columns = [f"{group}, {rows.sum()} images" for group, rows in groups.items()]
    return Section(
        title="Samples as training data",
        about=(
            f"Classifiers of {name} trained on {len(train[0])} real images, {len(synthetic)} "
            f"samples, or both (half of each batch), tested on real images of the {evidence.split} "
            f"split: AUROC. {plan.steps} steps of {plan.batch_size} at {plan.side} x {plan.side} "
            f"pixels in every arm, weights chosen on val, {len(plan.seeds)} seeds; 95 % intervals "
            "by bootstrap over patients (images where none are known) and seeds. Classes and the "
            "other conditions go together in these data, so the columns within one are those that "
            "count."
        ),
        tables=(
            Table(
                columns=("trained on", *columns),
                rows=tuple(
                    (arm, *(_area(found, arm, test[0], rows) for rows in groups.values()))
                    for arm in plan.arms
                ),
            ),
            differences_table(found),
        ),
        notes=(found.verdict,),
    )


def balanced_accuracy(truth: Whole, decided: Whole) -> float:
    """Return the mean over the classes that are there of the share that was told.

    Examples
    --------
    >>> balanced_accuracy(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])).__round__(3)
    0.833
    """
    return float(np.mean([(decided[truth == one] == one).mean() for one in np.unique(truth)]))


def _groups(evidence: Evidence, column: int) -> Iterator[tuple[int, int, str]]:
    """Yield place, value and name of every value of the other conditions."""
    for place, (key, values) in enumerate(evidence.subject.conditions.items()):
        if place != column:
            yield from ((place, number, f"{key} {value}") for number, value in enumerate(values))


def _classifiers(train: Examples, val: Examples, plan: TrainingPlan, classes: int) -> list[Trained]:
    """Train classifiers on real images, with classical augmentation if the first gains by it."""
    trainer = Trainer(plan, val, classes=classes)
    first, *others = plan.seeds
    tried = {
        is_augmented: trainer.train(train, None, augment=is_augmented, seed=first)
        for is_augmented in (False, True)
    }
    best = max(
        tried,
        key=lambda key: balanced_accuracy(
            val.targets, tried[key].predict(val.images).argmax(axis=1)
        ),
    )
    more = [trainer.train(train, None, augment=best, seed=seed) for seed in others]
    return [tried[best], *more]


class _Judged:
    """What classifiers of one condition say of real images and of samples."""

    def __init__(self, evidence: Evidence, column: int, count: int) -> None:
        plan = training_plan(evidence.effort)
        train, val, test = (_known(evidence, s, column) for s in ("train", "val", evidence.split))
        classes = len(list(evidence.subject.conditions.values())[column])
        networks = _classifiers(train[0], val[0], plan, classes)

        def decided(images: NDArray[np.uint8]) -> Whole:
            said = [network.predict(images) for network in networks]
            return np.asarray(np.mean(said, axis=0).argmax(axis=1))

        drawn = evidence.pool(count)
        # Of each: the class it is or was asked to be, what was decided, and all conditions.
        self._patients = test[0].groups
        self._real = (test[0].targets, decided(test[0].images), test[1])
        self._made = (
            drawn.conditions[:, column],
            decided(reduced(drawn.images, plan.side)),
            drawn.conditions,
        )

    def is_there(self, place: int, value: int) -> bool:
        """Whether real images and samples have two classes where another column has a value."""
        return all(
            len(np.unique(truth[others[:, place] == value])) > 1
            for truth, _, others in (self._real, self._made)
        )

    def accuracies(
        self, within: tuple[int, int] | None = None
    ) -> tuple[Measured, Measured, Measured]:
        """Return those on real images and on samples, and their ratio.

        Parameters
        ----------
        within : tuple of two int, optional
            Place of another column and a value that it is to have.
        """
        values, resampled = [], []
        groups = (self._patients, None)
        for seed, (part, units) in enumerate(zip((self._real, self._made), groups, strict=True)):
            truth, decided, others = part
            rows = np.arange(len(truth))
            if within is not None:
                rows = np.flatnonzero(others[:, within[0]] == within[1])
            chosen = None if units is None else units[rows]
            truth, decided = truth[rows], decided[rows]
            values.append(balanced_accuracy(truth, decided))
            drawn = resamples(len(rows), chosen, seed=seed)
            resampled.append(np.array([balanced_accuracy(truth[r], decided[r]) for r in drawn]))
        ratios = resampled[1] / np.maximum(resampled[0], 1e-9)
        return (
            with_interval(values[0], resampled[0]),
            with_interval(values[1], resampled[1]),
            with_interval(values[1] / max(values[0], 1e-9), ratios),
        )


def _known(evidence: Evidence, split: str, column: int) -> tuple[Examples, Whole]:
    """Return the real images of a split whose class is known, and all their conditions."""
    samples, patients = evidence.real(split), evidence.read(split).patients
    rows = samples.conditions[:, column] != UNKNOWN
    images = reduced(samples.images[rows], evidence.effort.side)
    conditions = samples.conditions[rows]
    groups = None if patients is None else patients[rows]
    return Examples(images=images, targets=conditions[:, column], groups=groups), conditions


def _area(
    found: Usefulness, arm: str, test: Examples, chosen: NDArray[np.bool_]
) -> Measured | None:
    """Return the AUROC of an arm on some test images, the mean over seeds and classes."""
    if len(np.unique(test.targets[chosen])) < 2:
        return None
    outcomes = [run.outcome[chosen] for run in found.runs if run.arm == arm]
    truth = test.targets[chosen]
    groups = None if test.groups is None else np.asarray(test.groups)[chosen]

    random = np.random.default_rng(0)
    resampled = []
    for rows in resamples(len(truth), groups):
        seeds = random.integers(len(outcomes), size=len(outcomes))
        if len(np.unique(truth[rows])) > 1:
            resampled.append(_mean_area(truth[rows], [outcomes[seed][rows] for seed in seeds]))
    return with_interval(_mean_area(truth, outcomes), resampled)


def _mean_area(truth: Whole, outcomes: list[Floats]) -> float:
    there = np.unique(truth)
    asked = [1] if outcomes[0].shape[1] == 2 else there
    return float(np.mean([auroc(truth == one, o[:, one]) for o in outcomes for one in asked]))
