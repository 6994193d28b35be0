"""Is synthetic data good for something? Train small networks with and without it, test on real."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medmint.errors import MetricError
from medmint.metrics.comparison import LEVEL, Interval
from medmint.metrics.scores import auroc, average_precision, dice, f1
from medmint.metrics.training_plan import (
    ALL,
    AUGMENTED,
    BOTH,
    REAL,
    SYNTHETIC,
    Examples,
    Task,
    TrainingPlan,
)
from medmint.progress import Progress

if TYPE_CHECKING:
    from medmint.metrics.training import Trained

Array = NDArray[Any]

#: What is compared with what; the first pair decides whether synthetic data add anything to what
#: classical augmentation gives for nothing.
COMPARED = ((ALL, AUGMENTED), (BOTH, REAL), (SYNTHETIC, REAL), (AUGMENTED, REAL))
EMPTY_MASK_RULE = "Dice is 1 where truth and prediction are both empty, 0 where one of them is"
_DRAWS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One trained network on the test images.

    Attributes
    ----------
    arm : str
        What it was trained on, one of ``ARMS``.
    fraction : float or None
        Share of the real training images; None where it saw none.
    seed : int
    scores : mapping of str to float
        ``Dice``; or ``AUROC``, ``AUPRC`` and ``F1``, the mean over the classes.
    outcome : ndarray of float64, shape (n,) or (n, classes)
        Dice or class probabilities of each test image.
    """

    arm: str
    fraction: float | None
    seed: int
    scores: Mapping[str, float]
    outcome: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What one arm is better by than another, with an interval over test images and seeds."""

    arm: str
    against: str
    fraction: float
    score: str
    value: float
    interval: Interval

    @property
    def verdict(self) -> str:
        """What the interval allows to say."""
        if self.interval.low > 0:
            return "better"
        return "worse" if self.interval.high < 0 else "no difference shown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usefulness:
    """Scores of all arms, and what synthetic data add.

    Attributes
    ----------
    task : {"segmentation", "classification"}
    plan : TrainingPlan
    runs : tuple of Run
    differences : tuple of Difference
    """

    task: Task
    plan: TrainingPlan
    runs: tuple[Run, ...]
    differences: tuple[Difference, ...] = field(default=())

    def mean_score(self, arm: str, fraction: float | None, score: str) -> tuple[float, float]:
        """Return mean and standard deviation over the seeds."""
        values = [r.scores[score] for r in self.runs if (r.arm, r.fraction) == (arm, fraction)]
        return float(np.mean(values)), float(np.std(values, ddof=1))

    @property
    def verdict(self) -> str:
        """Whether synthetic data add anything to classical augmentation, in words."""
        decisive = [d for d in self.differences if (d.arm, d.against) == COMPARED[0]]
        parts = [
            f"with {d.fraction:.0%} of the real images {d.verdict} "
            f"({d.score} {d.value:+.3f}, {d.interval.low:+.3f} to {d.interval.high:+.3f})"
            for d in decisive
        ]
        if not parts:
            return "the arms that would tell were not trained"
        return "synthetic images beside real ones and classical augmentation: " + "; ".join(parts)


def usefulness(
    train: Examples,
    synthetic: Examples,
    validation: Examples,
    test: Examples,
    *,
    plan: TrainingPlan | None = None,
    progress: Progress | None = None,
) -> Usefulness:
    """Train a small network in every arm and compare them on real test images.

    Each training has the same number of gradient steps, the same validation images and the same
    rule for the weights that are kept. Where an arm has real and synthetic images, each batch is
    half of each.

    Parameters
    ----------
    train, validation, test : Examples
        Real, of different patients.
    synthetic : Examples
        With the same kind of targets.
    plan : TrainingPlan, optional
    progress : callable, optional
        Called with (networks trained, total, what is trained).

    Returns
    -------
    Usefulness

    Raises
    ------
    MetricError
        If the sets have different kinds of targets, sizes or classes, or share patients.

    References
    ----------
    Osuala et al., "medigan", J. Med. Imaging 10(6), 061403, 2023, section 4; the arm with classical
    augmentation alone is what such comparisons often lack.
    """
    from medmint.metrics.training import Trainer

    plan = plan or TrainingPlan()
    _check_sets(train=train, synthetic=synthetic, validation=validation, test=test)
    classes = 0 if train.task == "segmentation" else int(train.targets.max()) + 1
    trainer = Trainer(plan, validation, classes=classes)
    todo = list(_trainings(plan))
    runs = []
    for done, (arm, fraction, seed) in enumerate(todo):
        if progress is not None:
            progress(done, len(todo), f"{arm}, {fraction or 0:.0%} real, seed {seed}")
        real = None if fraction is None else _share_of(train, fraction, seed)
        made = synthetic if "synthetic" in arm else None
        trained = trainer.train(real, made, augment="augmentation" in arm, seed=seed)
        runs.append(_run(trained, test, arm, fraction, seed))
    if progress is not None:
        progress(len(todo), len(todo), "trained")
    differences = tuple(_differences(runs, plan, test))
    return Usefulness(task=train.task, plan=plan, runs=tuple(runs), differences=differences)


def class_scores(truth: Array, probabilities: NDArray[np.float64]) -> dict[str, float]:
    """Return AUROC, AUPRC and F1; with more than two classes the mean of one against the rest.

    Examples
    --------
    >>> class_scores(np.array([0, 1]), np.array([[0.9, 0.1], [0.2, 0.8]]))
    {'AUROC': 1.0, 'AUPRC': 1.0, 'F1': 1.0}
    """
    count = probabilities.shape[1]
    asked = [1] if count == 2 else range(count)
    decided = probabilities.argmax(axis=1)
    each = [
        (
            auroc(truth == one, probabilities[:, one]),
            average_precision(truth == one, probabilities[:, one]),
            f1(truth == one, decided == one),
        )
        for one in asked
    ]
    return dict(zip(("AUROC", "AUPRC", "F1"), np.mean(each, axis=0).tolist(), strict=True))


def _check_sets(**sets: Examples) -> None:
    train = sets["train"]
    for name, examples in sets.items():
        if len(examples) < 2:
            raise MetricError(name, f"{len(examples)} images", "at least 2")
        if examples.task != train.task:
            raise MetricError(name, f"targets for {examples.task}", f"targets for {train.task}")
        if examples.images.shape[1:] != train.images.shape[1:]:
            size = f"images of shape {examples.images.shape[1:]}"
            raise MetricError(name, size, f"shape {train.images.shape[1:]}")
        known = np.unique(train.targets) if train.task == "classification" else None
        if known is not None and not np.array_equal(np.unique(examples.targets), known):
            given = f"classes {np.unique(examples.targets).tolist()}"
            raise MetricError(name, given, f"classes {known.tolist()}")
    real = [(name, sets[name].groups) for name in ("train", "validation", "test")]
    for number, (name, groups) in enumerate(real):
        for other, others in real[number + 1 :]:
            if groups is not None and others is not None:
                shared = set(np.asarray(groups).tolist()) & set(np.asarray(others).tolist())
                if shared:
                    some = ", ".join(map(str, sorted(shared)[:3]))
                    raise MetricError(other, f"patients of {name} ({some})", "other patients")


def _trainings(plan: TrainingPlan) -> Iterator[tuple[str, float | None, int]]:
    """Yield (arm, fraction, seed); the arm without real images has no fraction."""
    for seed in plan.seeds:
        for arm in plan.arms:
            if arm == SYNTHETIC:
                yield arm, None, seed
            else:
                yield from ((arm, fraction, seed) for fraction in plan.fractions)


def _share_of(examples: Examples, fraction: float, seed: int) -> Examples:
    """Return a share of the examples: whole patients, and every class at least once."""
    names = np.arange(len(examples)) if examples.groups is None else np.asarray(examples.groups)
    units = np.unique(names, return_inverse=True)[1]
    rank = np.random.default_rng(seed).permutation(units.max() + 1)[units]
    order = np.argsort(rank, kind="stable")
    count = max(round(fraction * len(examples)), 1)
    # The last patient is taken whole.
    while count < len(order) and rank[order[count]] == rank[order[count - 1]]:
        count += 1
    if examples.task == "classification":
        firsts = [
            np.flatnonzero(examples.targets[order] == c)[0] for c in np.unique(examples.targets)
        ]
        count = max(count, int(max(firsts)) + 1)
    return examples.chosen(order[:count])


def _run(trained: Trained, test: Examples, arm: str, fraction: float | None, seed: int) -> Run:
    predicted = trained.predict(test.images)
    if test.task == "segmentation":
        outcome = dice(trained.reduced(test.targets), predicted)
        scores = {"Dice": float(outcome.mean())}
    else:
        outcome, scores = predicted, class_scores(test.targets, predicted)
    return Run(arm=arm, fraction=fraction, seed=seed, scores=scores, outcome=outcome)


def _differences(runs: list[Run], plan: TrainingPlan, test: Examples) -> Iterator[Difference]:
    for fraction in plan.fractions:
        for arm, against in COMPARED:
            if arm in plan.arms and against in plan.arms:
                pairs = [
                    (
                        _outcome(runs, arm, None if arm == SYNTHETIC else fraction, seed),
                        _outcome(runs, against, fraction, seed),
                    )
                    for seed in plan.seeds
                ]
                value, interval = _difference(pairs, test)
                score = "Dice" if test.task == "segmentation" else "AUROC"
                yield Difference(
                    arm=arm,
                    against=against,
                    fraction=fraction,
                    score=score,
                    value=value,
                    interval=interval,
                )


def _outcome(runs: list[Run], arm: str, fraction: float | None, seed: int) -> NDArray[np.float64]:
    return next(r.outcome for r in runs if (r.arm, r.fraction, r.seed) == (arm, fraction, seed))


def _difference(
    pairs: list[tuple[NDArray[np.float64], NDArray[np.float64]]], test: Examples
) -> tuple[float, Interval]:
    """Bootstrap a mean difference: seeds and test patients are both drawn with replacement."""
    names = np.arange(len(test)) if test.groups is None else np.asarray(test.groups)
    units = np.unique(names, return_inverse=True)[1]
    members = [np.flatnonzero(units == unit) for unit in range(int(units.max()) + 1)]
    random = np.random.default_rng(0)
    values = []
    for _ in range(_DRAWS):
        rows = np.concatenate(
            [members[i] for i in random.integers(len(members), size=len(members))]
        )
        drawn = [pairs[i] for i in random.integers(len(pairs), size=len(pairs))]
        if test.task == "segmentation" or len(np.unique(test.targets[rows])) > 1:
            values.append(_mean_difference(drawn, test, rows))
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    interval = Interval(
        low=float(low),
        high=float(high),
        unit="image" if test.groups is None else "group",
        units=len(members),
        method=f"bootstrap over test images and {len(pairs)} seeds, {len(values)} draws",
    )
    return _mean_difference(pairs, test, np.arange(len(test))), interval


def _mean_difference(
    pairs: list[tuple[NDArray[np.float64], NDArray[np.float64]]], test: Examples, rows: Array
) -> float:
    if test.task == "segmentation":
        return float(np.mean([one[rows].mean() - other[rows].mean() for one, other in pairs]))
    truth = test.targets[rows]
    return float(np.mean([_area(truth, a[rows]) - _area(truth, b[rows]) for a, b in pairs]))


def _area(truth: Array, probabilities: NDArray[np.float64]) -> float:
    there = np.unique(truth)
    asked = [1] if probabilities.shape[1] == 2 else there
    return float(np.mean([auroc(truth == one, probabilities[:, one]) for one in asked]))
