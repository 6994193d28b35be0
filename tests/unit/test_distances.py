"""The Frechet distance: exact values, rank-deficient sets, and the laws of a distance."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torchmetrics.image.fid import FrechetInceptionDistance

from medmint.errors import MetricError
from medmint.metrics.distances import (
    _triangle,
    frechet_distance,
    frechet_distance_extrapolated,
    frechet_distance_from_statistics,
)

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


def exact_low_rank(rank, seed, *, counts=(60, 50), size=48):
    """Return two integer sets of a low rank and their distance, to 50 digits.

    With x = Z F the covariance is F' C F, and the eigenvalues of S1 S2 that are not 0 are those
    of the small matrix C1 (F1 F2') C2 (F2 F1').
    """
    random = np.random.default_rng(seed)
    sets, factors, covariances, means, traces = [], [], [], [], []
    with mpmath.workdps(50):
        for count in counts:
            inner = random.integers(-9, 10, (count, rank))
            frame = random.integers(-5, 6, (rank, size))
            sums = [sum(map(int, column)) for column in inner.T]
            covariance = mpmath.matrix(rank, rank)
            for i in range(rank):
                for j in range(rank):
                    product = int(inner[:, i] @ inner[:, j]) * count - sums[i] * sums[j]
                    covariance[i, j] = mpmath.mpf(product) / (count * (count - 1))
            frame_matrix = mpmath.matrix(frame.tolist())
            sets.append(inner @ frame)
            factors.append(frame_matrix)
            covariances.append(covariance)
            means.append(mpmath.matrix([sums]) * frame_matrix / count)
            spread = covariance * frame_matrix * frame_matrix.T
            traces.append(sum(spread[i, i] for i in range(rank)))
        between = factors[0] * factors[1].T
        product = covariances[0] * between * covariances[1] * between.T
        roots = sum(mpmath.sqrt(mpmath.re(value)) for value in mpmath.eig(product)[0])
        offset = means[0] - means[1]
        exact = sum(value**2 for value in offset) + traces[0] + traces[1] - 2 * roots
    return *sets, float(exact)


@pytest.mark.parametrize("rank", [1, 4, 7])
def test_low_rank_is_as_in_fifty_digits(rank):
    x, y, exact = exact_low_rank(rank, seed=rank)
    assert frechet_distance(x, y) == pytest.approx(exact, rel=1e-9)
    assert frechet_distance_from_statistics(*statistics(x), *statistics(y)) == pytest.approx(
        exact, rel=1e-9
    )


def statistics(features):
    return features.mean(axis=0), np.cov(features, rowvar=False)


class Identity(torch.nn.Module):
    """What torchmetrics calls features are handed through."""

    num_features = 24

    def forward(self, features):
        return features


def torchmetrics_fid(x, y):
    metric = FrechetInceptionDistance(feature=Identity(), input_img_size=(24,)).set_dtype(
        torch.float64
    )
    metric.update(torch.from_numpy(x), real=True)
    metric.update(torch.from_numpy(y), real=False)
    return float(metric.compute())


def test_as_torchmetrics_where_covariances_have_full_rank():
    x, y = RANDOM.normal(1, 2, (300, 24)), RANDOM.normal(0, 1, (400, 24)) @ orthogonal(24)
    assert frechet_distance(x, y) == pytest.approx(torchmetrics_fid(x, y), rel=1e-6)
    stored = frechet_distance_from_statistics(*statistics(x), *statistics(y))
    assert stored == pytest.approx(torchmetrics_fid(x, y), rel=1e-6)


def test_near_torchmetrics_where_ranks_are_low():
    x, y = RANDOM.normal(size=(10, 24)), RANDOM.normal(size=(12, 24))
    assert frechet_distance(x, y) == pytest.approx(torchmetrics_fid(x, y), rel=1e-4)


@pytest.mark.parametrize("spread", [0, 3, 6])
def test_every_route_leads_to_the_same_distance(spread):
    # A wide spread of scales sends the larger sets from covariances to the features themselves.
    scales = np.logspace(0, -spread, 12)
    x, y = RANDOM.normal(size=(90, 12)) * scales, RANDOM.normal(1, 2, (80, 12)) * scales
    expected = frechet_distance(x, y)
    rotated = frechet_distance(x @ orthogonal(12), y @ orthogonal(12))
    assert rotated == pytest.approx(expected, rel=1e-9)
    # Zeros in more dimensions than samples: the route of few samples, and the same numbers.
    wide = np.zeros((90, 100)), np.zeros((80, 100))
    for filled, narrow in zip(wide, (x, y), strict=True):
        filled[:, :12] = narrow
    assert frechet_distance(*wide) == pytest.approx(expected, rel=1e-9)


def test_blocks_make_no_difference(monkeypatch):
    x, y = RANDOM.normal(size=(200, 6)), RANDOM.normal(1, 2, (100, 6))
    whole, triangle = frechet_distance(x, y), _triangle(x, x.mean(axis=0))
    monkeypatch.setattr("medmint.metrics.feature_sets.BLOCK_BYTES", 8 * 6 * 7)
    assert frechet_distance(x, y) == pytest.approx(whole, rel=1e-12)
    parts = _triangle(x, x.mean(axis=0))
    np.testing.assert_allclose(parts.T @ parts, triangle.T @ triangle, atol=1e-12)


def test_the_order_of_samples_does_not_matter():
    x, y = RANDOM.normal(size=(50, 8)), RANDOM.normal(size=(7, 8))
    assert frechet_distance(RANDOM.permutation(x), RANDOM.permutation(y)) == pytest.approx(
        frechet_distance(x, y), rel=1e-12
    )


@pytest.mark.parametrize("kind", [np.float32, np.float16, np.int16, np.uint8])
def test_other_types_are_widened_first(kind):
    x, y = (RANDOM.integers(0, 200, (40, 5)).astype(kind) for _ in range(2))
    expected = frechet_distance(x.astype(np.float64), y.astype(np.float64))
    assert frechet_distance(x, y) == expected


def test_statistics_of_other_shapes_and_kinds_are_refused():
    mean, covariance = np.zeros(3), np.eye(3)
    faults = {
        "covariance_real": (mean, np.eye(2), mean, covariance),
        "mean_real": ([np.nan] * 3, covariance, mean, covariance),
        "covariance_synthetic": (mean, covariance, mean, np.diag([1.0, -1, 1])),
        "statistics": (mean, covariance, np.zeros(2), np.eye(2)),
    }
    for argument, given_statistics in faults.items():
        with pytest.raises(MetricError) as caught:
            frechet_distance_from_statistics(*given_statistics)
        assert caught.value.argument == argument
    with pytest.raises(MetricError, match="symmetric"):
        frechet_distance_from_statistics(mean, np.triu(np.ones((3, 3))), mean, covariance)


def test_the_extrapolated_distance_comes_closer_to_the_truth():
    x, y = RANDOM.normal(size=(2000, 100)), RANDOM.normal(0.1, 1, (1600, 100))
    result = frechet_distance_extrapolated(x, y)
    truth = 100 * 0.01
    assert abs(result.value - truth) < abs(frechet_distance(x, y) - truth) / 4
    assert result.sizes[0] == 400
    assert result.sizes[-1] == 1600
    assert list(result.distances) == sorted(result.distances, reverse=True)
    assert result == frechet_distance_extrapolated(x, y)
    assert result != frechet_distance_extrapolated(x, y, seed=1)


def test_too_few_samples_are_not_extrapolated():
    with pytest.raises(MetricError, match="at least 46 samples"):
        frechet_distance_extrapolated(np.zeros((45, 40)), np.zeros((60, 40)))
    with pytest.raises(MetricError, match="points"):
        frechet_distance_extrapolated(np.zeros((45, 4)), np.zeros((60, 4)), points=1)


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
        (np.zeros((4, 3)), np.full((4, 3), -1e200), "synthetic"),
        (np.zeros((4, 0)), np.zeros((4, 0)), "real"),
        ([["a"]] * 3, np.zeros((4, 3)), "real"),
        ([[1.0], [1.0, 2.0]], np.zeros((4, 3)), "real"),
    ],
)
def test_what_has_no_distance_is_refused(real, synthetic, argument):
    with pytest.raises(MetricError) as caught:
        frechet_distance(real, synthetic)
    assert caught.value.argument == argument
