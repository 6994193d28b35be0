"""Hand-made descriptors: known images have known numbers."""

import numpy as np
import pytest
from scipy.fft import idct
from scipy.ndimage import gaussian_filter

from medmint.errors import MetricError
from medmint.metrics import frechet_distance, standardise
from medmint.metrics.descriptors import BANDS, PERCENTILES, SCALES, Descriptors

RANDOM = np.random.default_rng(0)
EXTRACT = Descriptors()
LEVELS, EDGES = slice(0, 9), slice(13, 16)
SPECTRUM = slice(18 + 3 * len(SCALES), 18 + 3 * len(SCALES) + BANDS)


def describe(image):
    """Return the descriptors of one image, percentiles and bands as they are."""
    features = EXTRACT(np.asarray(image, dtype=np.uint8)[None])[0]
    for group in (LEVELS, EDGES, SPECTRUM):
        features[group] = idct(features[group], norm="ortho")
    return features


@pytest.mark.parametrize("level", [0, 100, 255])
def test_an_even_image_has_a_level_and_nothing_else(level):
    features = describe(np.full((128, 128), level))
    np.testing.assert_allclose(features[: len(PERCENTILES) + 1], level, atol=1e-4)
    np.testing.assert_allclose(features[len(PERCENTILES) + 1 : SPECTRUM.start], 0, atol=1e-4)
    np.testing.assert_allclose(features[SPECTRUM], -2)
    np.testing.assert_allclose(features[SPECTRUM.stop :], 0, atol=1e-4)


def test_brightness_and_edges_of_a_ramp():
    features = describe(np.tile(np.arange(128), (128, 1)))
    np.testing.assert_allclose(features[:9], np.percentile(np.arange(128), PERCENTILES), atol=1)
    mean, deviation, skewness, kurtosis = features[9:13]
    assert (mean, skewness) == pytest.approx((63.5, 0), abs=1e-3)
    assert (deviation, kurtosis) == pytest.approx((np.arange(128).std(), 1.8), rel=1e-3)
    np.testing.assert_allclose(features[13:18], [1, 1, 1, 1, 0], atol=1e-3)


@pytest.mark.parametrize(("period", "band"), [(32, 0), (8, 3), (4, 6), (2.3, 10)])
def test_a_wave_is_in_its_band(period, band):
    wave = 128 + 100 * np.sin(2 * np.pi * np.arange(128) / period)
    spectrum = describe(np.tile(wave, (128, 1)))[SPECTRUM]
    assert spectrum.argmax() == band


def test_colour_is_seen_and_grey_has_none():
    grey = RANDOM.integers(0, 256, (1, 128, 128), dtype=np.uint8)
    red = np.stack([grey[0], grey[0] // 2, grey[0] // 2], axis=-1)[None]
    np.testing.assert_allclose(EXTRACT(grey)[0, SPECTRUM.stop :], 0, atol=1e-3)
    assert EXTRACT(red)[0, SPECTRUM.stop] > 30


def test_features_depend_on_neither_batch_nor_order():
    images = RANDOM.integers(0, 256, (7, 40, 50), dtype=np.uint8)
    small = Descriptors()
    small.chunk = 3
    np.testing.assert_allclose(small(images), EXTRACT(images), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(EXTRACT(images[::-1])[::-1], EXTRACT(images), rtol=1e-6, atol=1e-6)


def test_a_volume_of_equal_slices_is_as_one_slice():
    image = RANDOM.integers(0, 256, (1, 40, 50), dtype=np.uint8)
    volume = np.repeat(image[..., None], 9, axis=-1)
    np.testing.assert_allclose(EXTRACT(volume), EXTRACT(image), rtol=1e-6)
    thin = volume[..., :2, None]
    np.testing.assert_allclose(EXTRACT(thin), EXTRACT(image), rtol=1e-6)


def test_a_stray_image_on_a_black_background_does_not_carry_the_distance():
    disc = np.hypot(*np.mgrid[-64:64, -64:64]) < 45
    images = np.stack(
        [disc * gaussian_filter(RANDOM.uniform(0, 255, (128, 128)), 3) for _ in range(41)]
    )
    images[40, ~disc] = 3  # the one image whose background is not quite black
    features = EXTRACT(images.astype(np.uint8))
    real, other = standardise(features[:20], features[20:40])
    floor = frechet_distance(real, other)
    real, stray = standardise(features[:20], features[21:])
    assert frechet_distance(real, stray) < 2 * floor


def test_images_that_are_none_are_refused():
    with pytest.raises(MetricError, match="images"):
        EXTRACT(np.zeros((4, 4)))
