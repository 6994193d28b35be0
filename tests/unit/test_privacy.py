"""Copies of training images are found, whatever was done to them, and new images are not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from medmint.errors import MetricError
from medmint.metrics import image_search
from medmint.metrics.closeness import adversarial_accuracy, closeness, membership, nearest_features
from medmint.metrics.image_search import FLIPS, aligned_pairs, flipped, nearest_images
from medmint.metrics.privacy import balanced, privacy
from tests.fakes.textures import textures

TRAIN = textures(60, seed=1)
HOLDOUT = textures(40, seed=2)


def spectra(images):
    """Return the energy in rings of the spectrum and percentiles: quick, and blind to shifts."""
    pixels = images.astype(float)
    frequency = np.hypot(
        *np.meshgrid(
            np.fft.fftfreq(images.shape[1]), np.fft.rfftfreq(images.shape[2]), indexing="ij"
        )
    )
    rings = np.digitize(frequency, np.linspace(0.02, 0.6, 16))
    energy = np.log1p(np.abs(np.fft.rfft2(pixels)))
    features = [energy[:, rings == ring].mean(axis=1) for ring in np.unique(rings)]
    shares = np.percentile(pixels, [5, 25, 50, 75, 95], axis=(1, 2))
    return np.stack([*features, *shares], axis=1)


def disguised(images, *, flip=0, shift=(0, 0), gain=1.0, offset=0.0):
    """Return mirrored, shifted and brightened copies."""
    changed = np.stack([np.roll(flipped(image, flip), shift, (0, 1)) for image in images])
    return np.clip(changed * gain + offset, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("flip", range(4))
@pytest.mark.parametrize(
    ("shift", "gain", "offset"),
    [((0, 0), 1.0, 0.0), ((8, -8), 0.7, 20.0), ((-3, 5), 1.1, -10.0), ((7, 1), 0.5, 0.0)],
)
def test_a_copy_is_found_through_flip_shift_brightness_and_contrast(flip, shift, gain, offset):
    copies = disguised(TRAIN[10:16], flip=flip, shift=shift, gain=gain, offset=offset)
    found = nearest_images(copies, TRAIN)
    assert found.index.tolist() == list(range(10, 16))
    assert found.flip.tolist() == [flip] * 6
    assert found.shift.tolist() == [list(shift)] * 6
    assert found.distance.max() < 0.1


def test_distances_are_those_of_a_search_by_hand():
    images, reference = textures(3, side=16, seed=5), textures(4, side=16, seed=6)
    found = nearest_images(images, reference, shift=2)
    for image, distance in zip(images, found.distance, strict=True):
        inner = image[2:-2, 2:-2].astype(float).ravel()
        best = max(
            np.corrcoef(inner, flipped(other, flip)[top : top + 12, left : left + 12].ravel())[0, 1]
            for other in reference
            for flip in range(len(FLIPS))
            for top in range(5)
            for left in range(5)
        )
        assert distance == pytest.approx(np.sqrt(2 - 2 * best), abs=1e-5)


def test_results_do_not_depend_on_chunks_or_order(monkeypatch):
    images = np.concatenate([HOLDOUT[:8], disguised(TRAIN[:3], flip=1)])
    whole = nearest_images(images, TRAIN)
    monkeypatch.setattr(image_search, "_QUERIES", 3)
    monkeypatch.setattr(image_search, "_PAIRS", 4)
    parts = nearest_images(images, TRAIN)
    np.testing.assert_allclose(parts.distance, whole.distance, rtol=1e-6, atol=1e-6)
    order = np.random.default_rng(0).permutation(len(TRAIN))
    shuffled = nearest_images(images, TRAIN[order])
    assert order[shuffled.index].tolist() == whole.index.tolist()


def test_colour_and_volumes_are_searched_too():
    colour = textures(20, seed=3, colour=True)
    assert nearest_images(disguised(colour[4:5], flip=1), colour).index.tolist() == [4]
    volumes = np.stack([textures(10, side=24, seed=seed) for seed in range(8)]).transpose(
        0, 2, 3, 1
    )
    copy = volumes[5:6, ::-1]
    found = nearest_images(copy, volumes)
    assert (found.index.tolist(), found.flip.tolist()) == ([5], [2])


def test_images_without_structure_are_near_to_each_other_alone():
    flat = np.zeros((2, 48, 48), dtype=np.uint8)
    assert nearest_images(flat, TRAIN).distance == pytest.approx(np.sqrt(2))
    assert nearest_images(TRAIN[:2], flat).distance == pytest.approx(np.sqrt(2))
    assert nearest_images(flat, np.concatenate([TRAIN, flat + 9])).index.tolist() == [60, 60]
    assert nearest_images(flat, flat + 9).distance.tolist() == [0, 0]


def test_pairs_are_laid_over_each_other():
    copies = disguised(TRAIN[:4], flip=3, shift=(4, -2))
    one, other = aligned_pairs(copies, TRAIN, nearest_images(copies, TRAIN))
    np.testing.assert_array_equal(one, other)
    assert one.shape == (4, 32, 32)


def test_an_excluded_pair_does_not_count():
    own = np.eye(len(TRAIN), dtype=bool)
    found = nearest_images(TRAIN, TRAIN, excluded=own)
    assert (found.index != np.arange(len(TRAIN))).all()
    with pytest.raises(MetricError, match="excluded"):
        nearest_images(TRAIN[:1], TRAIN, excluded=np.ones((1, len(TRAIN)), dtype=bool))
    only = np.ones((1, len(TRAIN)), dtype=bool)
    only[0, 7] = False
    assert nearest_images(TRAIN[:1], TRAIN, excluded=only).index.tolist() == [7]


@pytest.mark.parametrize("flip", [0, 1, 3])
def test_a_sampler_that_returns_training_images_is_flagged(flip):
    copies = disguised(TRAIN[:20], flip=flip, shift=(3, -6), gain=0.8, offset=15)
    result = privacy(TRAIN, copies, holdout=HOLDOUT, extractor=spectra)
    assert len(result.copies) == 20
    assert result.copies[0].flip == FLIPS[flip]
    assert result.copies[0].shift == (3, -6)
    assert result.pixels.close_share == 1
    assert result.features.close_share > 0.5
    assert result.pixels.ratio < 0.5
    assert sum("returns training images" in finding for finding in result.findings) == 2


def test_a_few_copies_among_new_images_are_found():
    images = np.concatenate([textures(36, seed=7), disguised(TRAIN[:4], flip=1)])
    result = privacy(TRAIN, images, holdout=HOLDOUT)
    assert result.pixels.outright == 4
    assert {copy.synthetic for copy in result.copies[:4]} == {36, 37, 38, 39}
    assert result.pixels.is_close


def test_new_images_are_not_flagged():
    result = privacy(TRAIN, textures(40, seed=9), holdout=HOLDOUT, extractor=spectra)
    assert result.findings == ()
    assert 0.8 < result.pixels.ratio < 1.25
    assert 0.35 < result.adversarial_accuracy_train < 0.65
    assert result.membership_interval.low < 0.5 < result.membership_interval.high


def test_members_are_told_where_samples_are_copies_of_all_of_them():
    result = privacy(TRAIN, disguised(TRAIN, gain=0.9), holdout=HOLDOUT)
    assert result.membership_auc == 1
    assert any("can be told" in finding for finding in result.findings)


def test_without_holdout_training_images_are_the_baseline_but_not_of_the_same_patient():
    patients = np.repeat(np.arange(30), 2)
    train = np.repeat(TRAIN[:30], 2, axis=0)
    alone = privacy(train, HOLDOUT[:10])
    assert alone.baseline == "train"
    assert alone.membership_auc is None
    assert np.median(alone.pixels.baseline) < 1e-3
    grouped = privacy(train, HOLDOUT[:10], groups=(patients, None))
    assert np.median(grouped.pixels.baseline) > 0.3


@given(st.lists(st.floats(0, 9), min_size=3, max_size=30), st.integers(1, 20))
@settings(deadline=None, max_examples=8)
def test_the_area_is_that_of_scikit_learn(distances, count):
    members, strangers = np.array(distances), np.linspace(0, 9, count)
    area, interval = membership(members, strangers)
    truth = np.repeat([1, 0], [len(members), count])
    assert area == pytest.approx(roc_auc_score(truth, -np.concatenate([members, strangers])))
    assert 0 <= interval.low <= interval.high <= 1


def test_intervals_over_patients_are_wider_than_over_their_images():
    random = np.random.default_rng(0)
    level = np.repeat(random.normal(size=20), 10)
    groups = np.repeat(np.arange(20), 10)
    _, by_image = membership(level[:100], level[100:])
    _, by_group = membership(level[:100], level[100:], groups=groups)
    assert (by_image.units, by_group.units, by_group.unit) == (200, 20, "group")
    assert by_group.high - by_group.low > by_image.high - by_image.low


def test_nearest_features_are_those_of_scikit_learn():
    random = np.random.default_rng(0)
    one, other = random.normal(5, 1, (700, 6)), random.normal(5, 1, (90, 6))
    expected = NearestNeighbors(n_neighbors=1).fit(other).kneighbors(one)[0][:, 0]
    np.testing.assert_allclose(nearest_features(one, other), expected, rtol=1e-9)
    assert nearest_features(one, one).max() == 0


def test_adversarial_accuracy_of_copies_equals_and_strangers():
    random = np.random.default_rng(1)
    one, other = random.normal(size=(2, 300, 4))
    assert adversarial_accuracy(one, one) == 0
    assert adversarial_accuracy(one, other) == pytest.approx(0.5, abs=0.06)
    assert adversarial_accuracy(one, other + 50) == 1
    assert adversarial_accuracy(one, other) == adversarial_accuracy(other, one)
    with pytest.raises(MetricError, match="equal"):
        adversarial_accuracy(one, other[:-1])


def test_chance_is_not_called_a_copy():
    random = np.random.default_rng(2)
    flagged = [
        closeness("pixels", *np.split(random.normal(5, 1, 300), [200])).is_close for _ in range(40)
    ]
    assert sum(flagged) <= 2


def test_balanced_images_lose_brightness_and_contrast_alone():
    images = TRAIN[:3].astype(np.float32)
    np.testing.assert_array_equal(balanced(images), balanced(images * 0.5 + 10))
    assert balanced(np.zeros((1, 8, 8))).tolist() == np.full((1, 8, 8), 128).tolist()


@pytest.mark.parametrize(
    ("train", "synthetic", "name"),
    [
        (TRAIN[:1], HOLDOUT, "train"),
        (TRAIN, HOLDOUT[:1], "synthetic"),
        (TRAIN, textures(4, side=32), "images"),
        (TRAIN.astype(object), HOLDOUT, "images"),
        (np.full((3, 48, 48), np.nan), HOLDOUT, "image 0 with NaN"),
    ],
)
def test_what_cannot_be_compared_is_refused(train, synthetic, name):
    with pytest.raises(MetricError, match=name):
        privacy(train, synthetic)
