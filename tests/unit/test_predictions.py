"""The inception score."""

import numpy as np
import pytest
import torch
from scipy.special import rel_entr
from torchmetrics.image.inception import InceptionScore

from medmint.errors import MetricError
from medmint.metrics import inception_score

RANDOM = np.random.default_rng(0)


def shares(count, classes=7):
    return RANDOM.dirichlet(np.full(classes, 0.3), count)


def test_as_torchmetrics():
    logits = RANDOM.normal(0, 2, (200, 12))
    with pytest.warns(UserWarning, match="will save all extracted features"):
        metric = InceptionScore(feature=torch.nn.Identity(), splits=1)
    metric.set_dtype(torch.float64)
    metric.update(torch.from_numpy(logits))
    with pytest.warns(UserWarning, match="degrees of freedom"):
        mean = float(metric.compute()[0])
    assert inception_score(logits, logits=True, splits=1)[0] == pytest.approx(mean, rel=1e-6)


def test_each_part_by_its_definition():
    given = shares(23)
    parts = [given[i * 23 // 5 : (i + 1) * 23 // 5] for i in range(5)]
    scores = [np.exp(rel_entr(p, p.mean(axis=0)).sum(axis=1).mean()) for p in parts]
    mean, deviation = inception_score(given, splits=5)
    assert mean == pytest.approx(np.mean(scores), rel=1e-12)
    assert deviation == pytest.approx(np.std(scores), rel=1e-12)


def test_its_bounds():
    assert inception_score(np.full((10, 4), 0.25)) == pytest.approx((1, 0))
    assert inception_score(np.tile(np.eye(4), (10, 1)), splits=2)[0] == pytest.approx(4)


def test_logits_may_be_large_and_shifted():
    logits = np.array([[1000.0, 0], [0, 1000]])
    assert inception_score(logits, logits=True, splits=1)[0] == pytest.approx(2)


def test_a_seed_shuffles():
    given = np.repeat(np.eye(4), 5, axis=0)
    assert inception_score(given, splits=4)[0] == pytest.approx(1)
    mixed = inception_score(given, splits=4, seed=3)
    assert mixed[0] > 1.5
    assert mixed == inception_score(given, splits=4, seed=3)


@pytest.mark.parametrize(
    ("predictions", "options", "argument"),
    [
        (RANDOM.normal(size=(20, 4)), {}, "predictions"),
        (np.full((20, 4), 0.5), {}, "predictions"),
        (np.ones((20, 1)), {}, "predictions"),
        (np.full((20, 4), np.nan), {"logits": True}, "predictions"),
        (np.zeros((0, 4)), {}, "predictions"),
        (np.full((9, 4), 0.25), {}, "splits"),
        (np.full((9, 4), 0.25), {"splits": 0}, "splits"),
    ],
)
def test_what_is_no_prediction_is_refused(predictions, options, argument):
    with pytest.raises(MetricError) as caught:
        inception_score(predictions, **options)
    assert caught.value.argument == argument
