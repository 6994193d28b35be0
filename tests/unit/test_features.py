"""Features that tell images apart and depend on nothing but the images."""

import numpy as np
import pytest

from medmint.errors import MetricError
from medmint.metrics.distances import frechet_distance
from medmint.metrics.features import DEVIATION_FLOOR, SeededConvolution, standardise

RANDOM = np.random.default_rng(0)
EXTRACT = SeededConvolution()


def textures(count, *, side=32, noise=0):
    """Return smooth colour images, with grain where asked for."""
    random = np.random.default_rng(1)
    coarse = random.integers(40, 216, (count, 4, 4, 3))
    images = np.kron(coarse, np.ones((1, side // 4, side // 4, 1)))
    return np.clip(images + random.normal(0, noise, images.shape), 0, 255).astype(np.uint8)


def test_features_do_not_depend_on_the_batch():
    images = textures(8)
    extract = SeededConvolution()
    extract.chunk = 5
    together = extract(images)
    assert together.shape == (len(images), 198)
    assert together.dtype == np.float64
    alone = np.concatenate([EXTRACT(image[None]) for image in images])
    np.testing.assert_allclose(alone, together, rtol=1e-4, atol=1e-6)


def test_features_are_the_same_next_time_and_others_under_another_seed():
    images = textures(2)
    np.testing.assert_array_equal(EXTRACT(images), SeededConvolution()(images))
    assert not np.allclose(EXTRACT(images), SeededConvolution(seed=1)(images))


def test_grey_images_are_colour_images_of_equal_channels():
    grey = RANDOM.integers(0, 256, (2, 16, 16), dtype=np.uint8)
    colour = np.repeat(grey[..., None], 3, axis=-1)
    np.testing.assert_allclose(EXTRACT(grey), EXTRACT(colour), rtol=1e-5)
    np.testing.assert_array_equal(EXTRACT(grey), EXTRACT(grey[..., None]))


def test_the_type_of_pixels_makes_no_difference_but_rounding():
    images = textures(2)
    expected = EXTRACT(images)
    for other in (images.astype(np.uint16) * 257, images / 255, (images / 255).astype(np.float32)):
        np.testing.assert_allclose(EXTRACT(other), expected, rtol=1e-4, atol=1e-6)
    hounsfield = images.astype(np.int16) - 128
    windowed = SeededConvolution(window=(-128, 127))(hounsfield)
    np.testing.assert_allclose(windowed, expected, rtol=1e-4, atol=1e-6)


def test_normalised_images_forget_brightness_and_contrast():
    images = textures(2)
    stretched = images / 2 + 60
    extract = SeededConvolution(normalisation="minmax")
    np.testing.assert_allclose(extract(stretched), extract(images), rtol=1e-3, atol=1e-5)
    assert not np.allclose(EXTRACT(stretched.astype(np.uint8)), EXTRACT(images), rtol=0.1)


def test_images_are_left_as_they_are_and_may_be_read_only():
    images = textures(2)
    images.flags.writeable = False
    before = images.copy()
    EXTRACT(images)
    np.testing.assert_array_equal(images, before)


def test_more_grain_is_further_away():
    real = EXTRACT(textures(30))
    distances = []
    for noise in (0, 4, 36):
        scaled, other = standardise(real, EXTRACT(textures(30, noise=noise)))
        distances.append(frechet_distance(scaled, other))
    assert distances == sorted(distances)
    assert distances[1] > 10 * distances[0] + 1


@pytest.mark.parametrize(
    "images",
    [
        np.full((2, 8, 8), 2.0, np.float32),
        np.zeros((2, 8, 8), np.int16),
        np.zeros((8, 8), np.uint8),
        np.zeros((0, 8, 8), np.uint8),
        np.zeros((2, 8, 8, 2), np.uint8),
        np.zeros((2, 8, 8, 8, 2), np.uint8),
    ],
)
def test_other_arrays_are_refused(images):
    with pytest.raises(MetricError, match="images"):
        EXTRACT(images)


def test_the_features_are_those_of_the_first_model_cards():
    images = np.random.default_rng(7).integers(0, 256, (2, 40, 56, 3), dtype=np.uint8)
    features = EXTRACT(images)
    places = [0, 5, 6, 69, 70, 133, 134, 197]
    printed = [
        0.0057463,
        0.3899401,
        0.1311105,
        0.1361975,
        0.0616411,
        0.0816332,
        0.0546068,
        0.0567223,
    ]
    np.testing.assert_allclose(features[0, places], printed, rtol=1e-4)
    assert features.sum() == pytest.approx(34.85373, rel=1e-5)


def test_the_real_set_becomes_standard_and_others_follow():
    real = RANDOM.normal(5, [1, 10, 100], (200, 3))
    scaled, other = standardise(real, real[:50] + 1)
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(scaled.std(axis=0), 1)
    np.testing.assert_allclose(other - scaled[:50], np.broadcast_to(1 / real.std(axis=0), (50, 3)))


def test_a_dead_feature_cannot_carry_the_distance():
    real = RANDOM.normal(0, 2, (100, 5))
    real[:, 0] = 1e-9 * real[:, 1]
    other = real.copy()
    other[:, 0] += 0.001
    floor = DEVIATION_FLOOR * np.median(real.std(axis=0))
    scaled, moved = standardise(real, other)
    assert frechet_distance(scaled, moved) == pytest.approx((0.001 / floor) ** 2, rel=1e-3)


def test_features_that_are_all_dead_are_left_in_their_own_unit():
    real, other = standardise(np.ones((4, 3)), np.full((4, 3), 3.0))
    assert (real == 0).all()
    assert (other == 2).all()
