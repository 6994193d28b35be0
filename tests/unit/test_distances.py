"""The Frechet distance: exact values, rank-deficient sets, and the laws of a distance."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from medmint.errors import MetricError
from medmint.metrics.distances import frechet_distance

RANDOM = np.random.default_rng(0)
SETS = arrays.arrays(
    np.float64,
    st.tuples(st.integers(2, 12), st.just(5)),
    elements=st.floats(-100, 100, allow_subnormal=False),
)


def orthogonal(size, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))[0]


def test_one_dimension_has_a_closed_form():
    x, y = RANDOM.normal(3, 2, (50, 1)), RANDOM.normal(-1, 5, (80, 1))
    expected = (x.mean() - y.mean()) ** 2 + (x.std(ddof=1) - y.std(ddof=1)) ** 2
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-12)


def with_covariance(deviations, count=40):
    """Return features whose covariance is exactly diagonal."""
    basis = np.linalg.qr(RANDOM.normal(size=(count, len(deviations) + 1)) + np.eye(count)[:, :1])[0]
    centred = basis - basis.mean(axis=0)
    centred = np.linalg.qr(centred)[0][:, : len(deviations)]
    return centred * np.sqrt(count - 1) * deviations


def test_covariances_that_commute_have_a_closed_form():
    s, t = np.array([1.0, 2, 3, 0.5]), np.array([4.0, 0.1, 3, 2])
    rotation, shift = orthogonal(4), np.array([1.0, -2, 0, 5])
    x, y = with_covariance(s) @ rotation, with_covariance(t, 60) @ rotation + shift
    expected = ((s - t) ** 2).sum() + (shift**2).sum()
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-10)


def test_a_pair_that_does_not_commute():
    # Covariances diag(4, 0) and [[1, 1], [1, 1]]: their product has one root, sqrt(4) = 2.
    x = np.array([[2.0, 0], [-2, 0]]) / np.sqrt(2)
    y = np.array([[1.0, 1], [-1, -1]]) / np.sqrt(2)
    exact = Fraction(4) + Fraction(2) - 2 * Fraction(2)
    assert frechet_distance(x, y) == pytest.approx(float(exact), abs=1e-12)


@pytest.mark.parametrize(("count", "size"), [(40, 128), (2, 300), (8, 256), (60, 48), (300, 20)])
def test_sets_of_low_rank_are_exact(count, size):
    x = RANDOM.normal(100, 3, (count, size))
    scale = (x.var(axis=0, ddof=1)).sum()
    assert frechet_distance(x, x) <= 1e-9 * scale
    shift = RANDOM.normal(size=size)
    assert frechet_distance(x, x + shift) == pytest.approx(shift @ shift, rel=1e-9)
    # A set twice as wide: Tr S + 4 Tr S - 2 * 2 Tr S = Tr S.
    wide = x.mean(axis=0) + 2 * (x - x.mean(axis=0))
    assert frechet_distance(x, wide) == pytest.approx(scale, rel=1e-9)


def test_rank_four_in_many_dimensions_is_as_in_four():
    x, y = RANDOM.normal(size=(60, 4)), RANDOM.normal(1, [1, 2, 3, 4], (50, 4))
    frame = orthogonal(64)[:4]
    expected = frechet_distance(x, y)
    assert frechet_distance(x @ frame, y @ frame) == pytest.approx(expected, rel=1e-9)


def test_a_far_mean_costs_no_digits():
    x, y = RANDOM.normal(size=(50, 6)), RANDOM.normal(0, 2, (50, 6))
    assert frechet_distance(x + 1e5, y + 1e5) == pytest.approx(frechet_distance(x, y), rel=1e-7)


@given(SETS)
def test_a_set_has_no_distance_to_itself(x):
    assert 0 <= frechet_distance(x, x) <= 1e-9 * (1 + x.var(axis=0, ddof=1).sum())


@given(SETS, SETS)
def test_there_and_back_are_equally_far(x, y):
    scale = 1 + (x**2).sum() + (y**2).sum()
    assert abs(frechet_distance(x, y) - frechet_distance(y, x)) <= 1e-12 * scale
    assert frechet_distance(x, y) >= 0


@given(SETS, SETS, st.integers(0, 10))
def test_turning_and_moving_both_sets_changes_nothing(x, y, seed):
    turn = orthogonal(5, seed)
    scale = 1 + (x**2).sum() + (y**2).sum()
    there, turned = frechet_distance(x, y), frechet_distance(x @ turn + 3, y @ turn + 3)
    assert abs(there - turned) <= 1e-11 * scale


@given(SETS, SETS, SETS)
def test_its_root_keeps_to_the_triangle(x, y, z):
    scale = 1 + np.sqrt(max((s**2).sum() for s in (x, y, z)))
    direct = frechet_distance(x, z) ** 0.5
    assert direct <= frechet_distance(x, y) ** 0.5 + frechet_distance(y, z) ** 0.5 + 1e-6 * scale


@pytest.mark.parametrize(
    ("real", "synthetic", "argument"),
    [
        (np.zeros((1, 3)), np.zeros((4, 3)), "real"),
        (np.zeros((4, 3)), np.zeros(3), "synthetic"),
        (np.zeros((4, 3)), np.zeros((0, 3)), "synthetic"),
        (np.zeros((4, 3)), np.zeros((4, 2)), "features"),
        (np.full((4, 3), np.nan), np.zeros((4, 3)), "real"),
        (np.zeros((4, 3)), np.full((4, 3), np.inf), "synthetic"),
        (np.zeros((4, 0)), np.zeros((4, 0)), "real"),
        ([["a"]] * 3, np.zeros((4, 3)), "real"),
        ([[1.0], [1.0, 2.0]], np.zeros((4, 3)), "real"),
    ],
)
def test_what_has_no_distance_is_refused(real, synthetic, argument):
    with pytest.raises(MetricError) as caught:
        frechet_distance(real, synthetic)
    assert caught.value.argument == argument
