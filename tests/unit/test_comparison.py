"""Comparisons are at equal sizes, never within a patient, and say how sure they are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medmint.errors import MetricError
from medmint.metrics.comparison import (
    equal_halves,
    relative_distance,
    size_curve,
    size_warnings,
    subsample_interval,
)
from medmint.metrics.distances import frechet_distance


def mean_shift(real, synthetic):
    return float(synthetic.mean() - real.mean())


@given(st.lists(st.integers(0, 12), min_size=4, max_size=60), st.integers(0, 99))
@settings(deadline=None)
def test_halves_are_equal_and_share_no_patient(patients, seed):
    groups = np.array(patients)
    try:
        one, other = equal_halves(len(groups), np.random.default_rng(seed), groups=groups)
    except MetricError:
        assert np.bincount(groups).max() > len(groups) - 2 or len(set(patients)) < 4
        return
    assert len(one) == len(other) >= 2
    assert len(set(one)) == len(one)
    assert not set(groups[one]) & set(groups[other])


def test_halves_without_patients_use_every_row():
    one, other = equal_halves(10, np.random.default_rng(0))
    assert sorted([*one, *other]) == list(range(10))


def test_all_distances_of_a_relative_one_are_at_one_size():
    random = np.random.default_rng(0)
    sizes = set()

    def spy(real, synthetic):
        sizes.add((len(real), len(synthetic)))
        return frechet_distance(real, synthetic)

    real, synthetic = random.normal(size=(2, 61, 3))
    result = relative_distance(real, synthetic, spy, groups=np.arange(61) // 2)
    assert len(sizes) <= 3
    assert all(a == b for a, b in sizes)
    assert (result.unit, len(result.real_real)) == ("group", 10)


def test_synthetic_images_of_the_same_kind_are_at_a_relative_distance_of_one():
    random = np.random.default_rng(0)
    real, same = random.normal(size=(2, 400, 5))
    assert relative_distance(real, same, frechet_distance).ratio == pytest.approx(1, abs=0.35)
    assert relative_distance(real, same + 1, frechet_distance).ratio < 0.1


def test_too_little_variety_brings_the_ratio_above_one_and_is_flagged():
    random = np.random.default_rng(0)
    real = random.normal(size=(100, 30))
    result = relative_distance(real, real * 0.9, frechet_distance)
    assert result.exceeds_one
    assert result.ratio > 1


def test_nothing_at_no_distance_has_no_ratio():
    result = relative_distance(np.ones((8, 2)), np.ones((8, 2)), frechet_distance)
    assert np.isnan(result.ratio)
    assert not result.exceeds_one


def test_splits_are_fixed_by_their_seed():
    random = np.random.default_rng(0)
    real, synthetic = random.normal(size=(2, 50, 3))
    one, again, other = (
        relative_distance(real, synthetic, frechet_distance, seed=seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one.real_real, again.real_real)
    assert not np.array_equal(one.real_real, other.real_real)


def test_intervals_cover_as_often_as_they_say():
    random = np.random.default_rng(0)
    covered = 0
    for _ in range(100):
        real, synthetic = random.normal(size=(2, 60, 1))
        interval = subsample_interval(real, synthetic, mean_shift, bounds=(-np.inf, np.inf))
        covered += interval.low <= 0 <= interval.high
    assert 88 <= covered <= 100


def test_intervals_over_patients_know_that_their_images_are_alike():
    random = np.random.default_rng(0)
    patients = np.repeat(np.arange(12), 10)
    real = np.repeat(random.normal(size=12), 10)[:, None] + random.normal(0, 0.1, (120, 1))
    synthetic = random.normal(size=(120, 1))
    bounds = (-np.inf, np.inf)
    naive = subsample_interval(real, synthetic, mean_shift, bounds=bounds)
    honest = subsample_interval(real, synthetic, mean_shift, bounds=bounds, groups=patients)
    assert honest.high - honest.low > 1.5 * (naive.high - naive.low)
    assert (honest.unit, honest.units, naive.unit, naive.units) == ("group", 12, "image", 120)


def test_an_interval_keeps_to_its_bounds_and_holds_the_value():
    random = np.random.default_rng(0)
    real, synthetic = random.normal(size=(2, 30, 4))
    interval = subsample_interval(real, synthetic, frechet_distance)
    assert 0 <= interval.low <= frechet_distance(real, synthetic) <= interval.high


def test_a_distance_of_equal_sets_falls_as_one_over_n():
    random = np.random.default_rng(0)
    curve = size_curve(*random.normal(size=(2, 600, 4)), frechet_distance)
    assert (np.diff(curve.sizes) > 0).all()
    product = curve.values * curve.sizes
    assert product.max() < 2.5 * product.min()


@pytest.mark.parametrize(
    ("count", "name", "words"),
    [(100, "x", "too few"), (300, "x", "1/N"), (2000, "FID", "2048"), (3000, "x", None)],
)
def test_small_numbers_are_warned_of(count, name, words):
    text = " ".join(size_warnings(count, 198, name))
    assert text == "" if words is None else words in text


def test_groups_have_to_be_as_many_as_images():
    with pytest.raises(MetricError, match="3 entries"):
        equal_halves(4, np.random.default_rng(0), groups=np.array([0, 1, 2]))


@pytest.mark.parametrize("groups", [None, np.zeros(3, dtype=int)])
def test_what_cannot_be_halved_is_refused(groups):
    with pytest.raises(MetricError, match="too few"):
        equal_halves(3, np.random.default_rng(0), groups=groups)
