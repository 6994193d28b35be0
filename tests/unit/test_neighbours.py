"""Precision, recall, density and coverage: by scikit-learn's neighbours, with ties and copies."""

import numpy as np
import pytest
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import NearestNeighbors

from medmint.errors import MetricError
from medmint.metrics import density_coverage, precision_recall

RANDOM = np.random.default_rng(0)


def radii(points, k):
    neighbours = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(points)
    return neighbours.kneighbors()[0][:, -1]


@pytest.mark.parametrize("k", [1, 3, 10])
@pytest.mark.parametrize(("n", "m", "d"), [(60, 60, 2), (150, 90, 16), (40, 200, 64)])
def test_as_by_the_neighbours_of_scikit_learn(n, m, d, k):
    x, y = RANDOM.normal(5, 1, (n, d)), RANDOM.normal(5.3, 0.8, (m, d))
    across = pairwise_distances(x, y)
    precision = (across <= radii(x, k)[:, None]).any(axis=0).mean()
    recall = (across <= radii(y, k)).any(axis=1).mean()
    assert precision_recall(x, y, k) == (precision, recall)
    inside = across < radii(x, k)[:, None]
    density, coverage = density_coverage(x, y, k)
    assert density == pytest.approx(inside.sum() / (k * m), rel=1e-12)
    assert coverage == inside.any(axis=1).mean()


def test_precision_is_of_synthetic_and_recall_of_real():
    real = np.concatenate([RANDOM.normal(0, 1, (50, 2)), RANDOM.normal(100, 1, (50, 2))])
    synthetic = RANDOM.normal(0, 0.5, (50, 2))
    precision, recall = precision_recall(real, synthetic)
    assert precision > 0.9
    assert recall < 0.6
    assert precision_recall(synthetic, real) == (recall, precision)


def test_a_sampler_that_returns_one_image_has_no_recall():
    real = RANDOM.normal(size=(100, 8))
    synthetic = np.repeat(real[:1], 100, axis=0)
    precision, recall = precision_recall(real, synthetic)
    assert precision == 1
    assert recall <= 0.01
    assert density_coverage(real, synthetic)[1] < 0.1


@pytest.mark.parametrize("far", [0, 1e6])
def test_copies_lie_inside_and_on_the_edge_counts(far):
    # On a line of equal steps each neighbour lies exactly on the edge of its neighbours' balls.
    real = np.arange(12.0)[:, None] + far
    assert precision_recall(real, real, k=1) == (1, 1)
    assert precision_recall(real, np.array([[-1.0], [12.0]]) + far, k=1)[0] == 1
    # Open balls leave edges out: the ends of the line see nothing.
    assert density_coverage(real, np.array([[-1.0], [12.0]]) + far, k=1) == (0, 0)


def test_copies_of_one_point_have_balls_of_no_size():
    real = np.repeat(RANDOM.normal(size=(1, 40)), 6, axis=0)
    assert precision_recall(real, real) == (1, 1)
    assert precision_recall(real, real + 1e-3) == (0, 0)
    assert density_coverage(real, real) == (0, 0)


def test_an_outlier_does_not_blur_what_is_near():
    real = np.concatenate([np.arange(10.0), [1e9]])[:, None]
    synthetic = np.array([[20.0], [21.0]])
    assert precision_recall(real[:10], synthetic, k=1)[0] == 0
    # Its own ball reaches almost to the others; those of the others stay as they were.
    assert density_coverage(real, synthetic, k=1)[1] <= 1 / 11


def test_blocks_and_order_make_no_difference(monkeypatch):
    x, y = RANDOM.integers(0, 4, (60, 3)), RANDOM.integers(0, 4, (50, 3))
    expected = precision_recall(x, y), density_coverage(x, y)
    for rows, columns in ((1, 1), (7, 13), (60, 60)):
        monkeypatch.setattr("medmint.metrics.neighbours._ROWS", rows)
        monkeypatch.setattr("medmint.metrics.neighbours._COLUMNS", columns)
        mixed = RANDOM.permutation(x), RANDOM.permutation(y)
        assert (precision_recall(*mixed), density_coverage(*mixed)) == expected


@pytest.mark.parametrize("metric", [precision_recall, density_coverage])
def test_fewer_samples_than_neighbours_are_refused(metric):
    with pytest.raises(MetricError, match="at least 6"):
        metric(np.zeros((5, 2)), np.zeros((9, 2)), 5)
    with pytest.raises(MetricError, match="at least 6"):
        metric(np.zeros((9, 2)), np.zeros((5, 2)), 5)
    with pytest.raises(MetricError, match="k: got 0"):
        metric(np.zeros((9, 2)), np.zeros((5, 2)), 0)
