"""Laws of the measures between sets, on generated sets and on real images made worse."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from scipy.ndimage import gaussian_filter

from medmint.metrics import (
    density_coverage,
    find_extractor,
    frechet_distance,
    frechet_distance_from_statistics,
    inception_score,
    kid,
    precision_recall,
    ssim,
    standardise,
)

SHEET = Path(__file__).parents[1] / "data" / "polyps_64.png"
SETS = arrays.arrays(
    np.float64, st.tuples(st.integers(6, 14), st.just(4)), elements=st.integers(-50, 50)
)
SEEDS = st.integers(0, 10_000)


def orthogonal(seed, size=4):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))[0]


def scale_of(*sets):
    return 1 + max((s**2).sum() for s in sets)


@given(SETS, SETS, SEEDS)
def test_the_order_of_samples_does_not_matter(x, y, seed):
    random = np.random.default_rng(seed)
    mixed = random.permutation(x), random.permutation(y)
    scale = scale_of(x, y)
    assert abs(frechet_distance(*mixed) - frechet_distance(x, y)) <= 1e-12 * scale
    assert abs(kid(*mixed) - kid(x, y)) <= 1e-12 * scale**3
    assert precision_recall(*mixed) == precision_recall(x, y)
    assert density_coverage(*mixed) == density_coverage(x, y)


@given(SETS, SETS, SEEDS)
def test_turning_both_sets_changes_nothing(x, y, seed):
    turn = orthogonal(seed)
    scale = scale_of(x, y)
    assert abs(kid(x @ turn, y @ turn) - kid(x, y)) <= 1e-12 * scale**3
    assert precision_recall(x @ turn, y @ turn) == precision_recall(x, y)
    # Balls of no size see nothing even of copies, which rounding would turn into luck.
    assert density_coverage(x @ turn, y @ turn) == density_coverage(x, y)


@given(SETS, SETS)
def test_statistics_and_features_give_one_distance(x, y):
    stored = [part for s in (x, y) for part in (s.mean(axis=0), np.cov(s, rowvar=False))]
    difference = frechet_distance_from_statistics(*stored) - frechet_distance(x, y)
    # Rounded covariances have lost half the digits of their smallest directions.
    assert abs(difference) <= 1e-7 * scale_of(x, y)


@given(SETS, SETS)
def test_kid_is_symmetric(x, y):
    assert kid(x, y) == pytest.approx(kid(y, x), rel=1e-9, abs=1e-9)


@given(SETS, SETS)
def test_precision_of_one_is_recall_of_the_other(x, y):
    assert precision_recall(x, y) == precision_recall(y, x)[::-1]


@given(SETS)
def test_a_set_is_all_of_itself(x):
    assert precision_recall(x, x) == (1, 1)


@given(SETS, st.floats(1e-3, 1e3))
def test_the_unit_of_features_does_not_matter_to_neighbours(x, factor):
    y = x[::2] + 1
    y = np.concatenate([y, y])
    assert precision_recall(x * factor, y * factor) == precision_recall(x, y)


@given(arrays.arrays(np.float64, (12, 5), elements=st.floats(-20, 20)))
def test_the_inception_score_lies_between_one_and_the_number_of_classes(logits):
    mean, deviation = inception_score(logits, logits=True, splits=3)
    assert 1 - 1e-9 <= mean <= 5 + 1e-9
    assert deviation >= 0


@given(SEEDS)
def test_similarity_is_symmetric_and_at_most_one(seed):
    x, y = np.random.default_rng(seed).uniform(size=(2, 12, 14))
    assert ssim(x, y, data_range=1) == pytest.approx(ssim(y, x, data_range=1), rel=1e-12)
    assert ssim(x, y, data_range=1) <= 1


@pytest.fixture(scope="module")
def frames():
    sheet = np.asarray(Image.open(SHEET))
    return sheet.reshape(6, 64, 8, 64, 3).swapaxes(1, 2).reshape(48, 64, 64, 3)[::2]


def blurred(frames, strength):
    return gaussian_filter(frames.astype(np.float64), (0, strength, strength, 0))


def grainy(frames, strength):
    return frames + np.random.default_rng(0).normal(0, strength, frames.shape)


@pytest.mark.parametrize("name", ["seeded_convolution", "descriptors"])
@pytest.mark.parametrize(
    ("worsen", "strengths"), [(blurred, (0.3, 0.8, 2, 4)), (grainy, (2, 8, 25, 60))]
)
def test_distances_grow_as_real_images_get_worse(frames, name, worsen, strengths):
    extract, frames = find_extractor(name), frames[::2]
    real = extract(frames)
    distances = []
    for strength in strengths:
        worse = np.rint(np.clip(worsen(frames, strength), 0, 255)).astype(np.uint8)
        distances.append(frechet_distance(*standardise(real, extract(worse))))
    assert distances == sorted(distances)
    assert distances[-1] > 10 * distances[0]


@pytest.mark.parametrize("name", ["seeded_convolution", "descriptors"])
def test_worse_images_are_further_than_other_real_ones(frames, name):
    extract = find_extractor(name)
    first, second = extract(frames[::2]), extract(frames[1::2])
    grain = extract(np.clip(grainy(frames[::2], 30), 0, 255).astype(np.uint8))
    floor = frechet_distance(*standardise(first, second))
    assert frechet_distance(*standardise(first, grain)) > 2 * floor
