"""Synthetic data are tried where they are meant to help, under equal conditions."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from medmint.errors import MetricError
from medmint.metrics import training
from medmint.metrics.downstream import class_scores, usefulness
from medmint.metrics.scores import auroc, average_precision, dice, f1
from medmint.metrics.training import augmented
from medmint.metrics.training_plan import (
    ALL,
    ARMS,
    AUGMENTED,
    BOTH,
    REAL,
    SYNTHETIC,
    Examples,
    TrainingPlan,
)
from tests.fakes.textures import disc_images, textures

QUICK = TrainingPlan(
    steps=8, batch_size=8, every=4, side=16, width=8, fractions=(0.25, 1.0), arms=ARMS
)


def discs(count, seed, groups=None):
    images, masks = disc_images(count, side=16, seed=seed)
    return Examples(images=images, targets=masks, groups=groups)


def classes(count, seed):
    """Return bright and dark images."""
    labels = np.arange(count) % 2
    images = textures(count, side=16, seed=seed) // 2 + (labels * 90)[:, None, None]
    return Examples(images=images.astype(np.uint8), targets=labels)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=40))
@settings(deadline=None, max_examples=50)
def test_scores_are_those_of_scikit_learn(pairs):
    truth = np.array([int(one) for one, _ in pairs])
    score = np.array([float(value) for _, value in pairs])
    assert f1(truth, score > 2) == pytest.approx(f1_score(truth, score > 2, zero_division=0))
    if 0 < truth.sum() < len(truth):
        assert auroc(truth, score) == pytest.approx(roc_auc_score(truth, score))
        expected = average_precision_score(truth, score)
        assert average_precision(truth, score) == pytest.approx(expected)


def test_scores_of_one_class_alone_are_refused():
    with pytest.raises(MetricError, match="one class"):
        auroc(np.ones(3), np.arange(3.0))
    with pytest.raises(MetricError, match="finite"):
        auroc(np.array([0, 1]), np.array([0.1, np.nan]))
    with pytest.raises(MetricError, match="shape"):
        auroc(np.array([0, 1]), np.array([0.1]))


def test_dice_of_each_image_with_its_rule_for_empty_masks():
    truth = np.array([[[1, 1], [0, 0]], [[0, 0], [0, 0]], [[0, 0], [0, 0]], [[1, 0], [0, 0]]])
    guess = np.array([[[1, 0], [1, 0]], [[0, 0], [0, 0]], [[1, 0], [0, 0]], [[0, 0], [0, 0]]])
    assert dice(truth, guess).tolist() == [0.5, 1.0, 0.0, 0.0]
    with pytest.raises(MetricError, match="shapes"):
        dice(truth, guess[:2])


def test_more_than_two_classes_are_each_told_from_the_rest():
    truth = np.array([0, 1, 2, 0, 1, 2])
    probabilities = np.eye(3)[truth] * 0.8 + 0.1
    assert class_scores(truth, probabilities) == {"AUROC": 1.0, "AUPRC": 1.0, "F1": 1.0}


@pytest.mark.slow
def test_every_arm_is_trained_alike_and_tested_on_real_images(monkeypatch):
    steps = []
    batch = training._batch

    def counted(sets, size, random):
        images, targets = batch(sets, size, random)
        steps.append(len(images))
        return images, targets

    monkeypatch.setattr(training, "_batch", counted)
    done = []
    result = usefulness(
        discs(24, 1),
        discs(24, 2),
        discs(8, 3),
        discs(10, 4),
        plan=QUICK,
        progress=lambda *state: done.append(state),
    )
    trained = {(run.arm, run.fraction) for run in result.runs}
    real_arms = (REAL, AUGMENTED, BOTH, ALL)
    assert trained == {(arm, share) for arm in real_arms for share in QUICK.fractions} | {
        (SYNTHETIC, None)
    }
    assert len(result.runs) == 9 * 3
    assert steps == [QUICK.batch_size] * (QUICK.steps * len(result.runs))
    assert all(len(run.outcome) == 10 for run in result.runs)
    assert done[-1][:2] == (27, 27)
    assert len(result.differences) == 4 * 2
    for difference in result.differences:
        assert difference.interval.low <= difference.value <= difference.interval.high
    assert "classical augmentation" in result.verdict


def test_synthetic_images_that_teach_the_task_help_where_real_ones_mislead():
    images, masks = disc_images(12, side=16, seed=1)
    misleading = Examples(images=images, targets=np.roll(255 - masks, 1, axis=0))
    plan = TrainingPlan(
        steps=40, batch_size=8, every=20, side=16, width=8, fractions=(1.0,), arms=(REAL, SYNTHETIC)
    )
    result = usefulness(misleading, discs(60, 2), discs(10, 3), discs(20, 4), plan=plan)
    (difference,) = result.differences
    assert (difference.arm, difference.against) == (SYNTHETIC, REAL)
    assert difference.verdict == "better"
    assert result.mean_score(SYNTHETIC, None, "Dice")[0] > 0.6


def test_classes_are_told_and_scored():
    plan = TrainingPlan(
        steps=40, batch_size=8, every=20, side=16, width=8, fractions=(0.5,), arms=(REAL, BOTH)
    )
    result = usefulness(classes(20, 1), classes(20, 2), classes(10, 3), classes(20, 4), plan=plan)
    assert result.task == "classification"
    assert set(result.runs[0].scores) == {"AUROC", "AUPRC", "F1"}
    assert result.mean_score(REAL, 0.5, "AUROC")[0] > 0.9
    assert result.verdict.startswith("the arms that would tell")


def test_the_same_plan_gives_the_same_numbers_and_leaves_random_state_alone():
    before = torch.random.get_rng_state()
    plan = TrainingPlan(
        steps=6, batch_size=4, every=3, side=16, width=8, fractions=(1.0,), arms=(ALL, AUGMENTED)
    )
    sets = [discs(8, seed) for seed in range(4)]
    one, other = (usefulness(*sets, plan=plan) for _ in range(2))
    assert [run.scores for run in one.runs] == [run.scores for run in other.runs]
    assert torch.equal(before, torch.random.get_rng_state())


def test_masks_are_augmented_with_their_images():
    _, masks = disc_images(6, side=32, seed=1)
    masks = torch.from_numpy((masks > 0).astype(np.float32))
    images = masks[:, None] * 2 - 1
    changed, targets = augmented(images, masks, np.random.default_rng(0))
    assert not torch.equal(targets, masks)
    agreement = ((changed[:, 0] > 0) == (targets > 0)).float().mean()
    assert agreement > 0.97


def test_a_share_of_the_real_images_takes_whole_patients():
    seen = []
    patients = np.repeat(np.arange(10), 3)
    train = discs(30, 1, groups=patients)
    plan = TrainingPlan(
        steps=1, batch_size=2, every=1, side=16, width=8, fractions=(0.25,), arms=(REAL,)
    )
    original = training.Trainer.train

    def spy(self, real, synthetic, **options):
        seen.append(real.groups)
        return original(self, real, synthetic, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Trainer, "train", spy)
        usefulness(train, discs(4, 2), discs(4, 3), discs(4, 4), plan=plan)
    for groups in seen:
        assert all((groups == patient).sum() == 3 for patient in set(groups.tolist()))
        assert len(groups) == 9


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seeds": (0, 1)}, "three"),
        ({"seeds": (0, 0, 0)}, "three"),
        ({"arms": ("magic",)}, "magic"),
        ({"fractions": (0.0,)}, "fractions"),
        ({"fractions": ()}, "fractions"),
        ({"side": 20}, "multiples of 8"),
        ({"steps": 0}, "1 or more"),
    ],
)
def test_a_plan_that_cannot_be_fair_is_refused(changes, words):
    with pytest.raises(MetricError, match=words):
        TrainingPlan(**changes)


def test_sets_that_do_not_go_together_are_refused():
    good = discs(6, 1)
    with pytest.raises(MetricError, match="targets for classification"):
        usefulness(good, classes(6, 2), good, good, plan=QUICK)
    with pytest.raises(MetricError, match="at least 2"):
        usefulness(good, good.chosen(np.array([0])), good, good, plan=QUICK)
    patients = discs(6, 1, groups=np.arange(6))
    with pytest.raises(MetricError, match="patients of train"):
        usefulness(patients, good, patients, good, plan=QUICK)
    one_class = classes(6, 2).chosen(np.array([0, 2, 4]))
    with pytest.raises(MetricError, match="classes"):
        usefulness(classes(6, 1), one_class, classes(6, 3), classes(6, 4), plan=QUICK)
    with pytest.raises(MetricError, match="masks"):
        Examples(images=good.images, targets=np.zeros((6, 3, 3)))
    with pytest.raises(MetricError, match="uint8"):
        Examples(images=good.images.astype(float), targets=good.targets)
