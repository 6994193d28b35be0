"""The kernel inception distance: by its definition, as torchmetrics has it, and over subsets."""

import itertools

import numpy as np
import pytest
import torch
from torchmetrics.image.kid import poly_mmd

from medmint.errors import MetricError
from medmint.metrics import kid, kid_subsets

RANDOM = np.random.default_rng(0)


def by_definition(x, y):
    def kernel(a, b):
        return (a @ b / len(a) + 1) ** 3

    same_x = np.mean([kernel(a, b) for a, b in itertools.permutations(x, 2)])
    same_y = np.mean([kernel(a, b) for a, b in itertools.permutations(y, 2)])
    return same_x + same_y - 2 * np.mean([kernel(a, b) for a in x for b in y])


def test_by_its_definition():
    x, y = RANDOM.normal(size=(9, 4)), RANDOM.normal(0.5, 2, (6, 4))
    assert kid(x, y) == pytest.approx(by_definition(x, y), rel=1e-12)


def test_as_torchmetrics():
    x, y = RANDOM.normal(size=(300, 32)), RANDOM.normal(0.1, 1.1, (300, 32))
    assert kid(x, y) == pytest.approx(
        float(poly_mmd(torch.from_numpy(x), torch.from_numpy(y))), rel=1e-6
    )


def test_blocks_make_no_difference(monkeypatch):
    x, y = RANDOM.normal(size=(101, 8)), RANDOM.normal(1, 1, (67, 8))
    whole = kid(x, y)
    for rows in (1, 10, 67):
        monkeypatch.setattr("medmint.metrics.kernels._ROWS", rows)
        assert kid(x, y) == pytest.approx(whole, rel=1e-12)


def test_it_is_unbiased():
    # Halves of one set: without bias the values lie on both sides of 0.
    values = [kid(*np.split(RANDOM.normal(size=(40, 6)), 2)) for _ in range(300)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))


def test_subsets_that_are_the_sets_give_the_full_value(caplog):
    x, y = RANDOM.normal(size=(30, 5)), RANDOM.normal(1, 1, (30, 5))
    mean, deviation = kid_subsets(x, y, subsets=3)
    assert mean == pytest.approx(kid(x, y), rel=1e-12)
    assert deviation < 1e-12
    assert "subsets of 30 samples" in caplog.text


def test_subsets_are_fixed_by_their_seed():
    x, y = RANDOM.normal(size=(80, 5)), RANDOM.normal(1, 1, (90, 5))
    options = {"subsets": 8, "subset_size": 20}
    assert kid_subsets(x, y, **options) == kid_subsets(x, y, seed=0, **options)
    assert kid_subsets(x, y, **options) != kid_subsets(x, y, seed=1, **options)
    mean, deviation = kid_subsets(x, y, subsets=200, subset_size=20)
    assert abs(mean - kid(x, y)) < 4 * deviation / np.sqrt(200)


def test_subsets_are_drawn_without_replacement():
    x = np.arange(10.0)[:, None]
    # With whole sets in every draw nothing varies but the order.
    assert kid_subsets(x, x, subsets=5, subset_size=10)[1] == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize(
    ("options", "argument"), [({"subsets": 0}, "subsets"), ({"subset_size": 1}, "subset_size")]
)
def test_no_subsets_are_refused(options, argument):
    with pytest.raises(MetricError) as caught:
        kid_subsets(np.zeros((5, 2)), np.zeros((5, 2)), **options)
    assert caught.value.argument == argument


@pytest.mark.parametrize(
    ("real", "synthetic"),
    [
        (np.zeros((1, 3)), np.zeros((4, 3))),
        (np.zeros((4, 3)), np.zeros((4, 2))),
        (np.full((4, 3), np.nan), np.zeros((4, 3))),
        (np.zeros((4, 3), complex), np.zeros((4, 3))),
    ],
)
def test_what_is_no_pair_of_sets_is_refused(real, synthetic):
    for metric in (kid, kid_subsets):
        with pytest.raises(MetricError):
            metric(real, synthetic)
