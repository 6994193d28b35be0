"""Similarity of images: as scikit-image, MONAI and torchmetrics have it, in two and three axes."""

import math

import numpy as np
import pytest
import torch
from monai.metrics import MultiScaleSSIMMetric, SSIMMetric
from skimage import metrics as skimage
from torchmetrics.functional.image import structural_similarity_index_measure

from medmint.errors import MetricError
from medmint.metrics import ms_ssim, ms_ssim_scales, mse, pairwise_ms_ssim, psnr, ssim

RANDOM = np.random.default_rng(0)


def pair(*shape, noise=0.1):
    """Return a smooth image from 0 to 1 and a noisy one."""
    axes = np.meshgrid(*(np.linspace(0, 6, side) for side in shape), indexing="ij")
    image = (np.sin(sum(axes)) + np.cos(axes[0] * 2) + 2) / 4
    return image, np.clip(image + RANDOM.normal(0, noise, shape), 0, 1)


@pytest.mark.parametrize("shape", [(40, 56), (11, 11), (16, 20, 24)])
def test_ssim_as_scikit_image(shape):
    x, y = pair(*shape)
    expected = skimage.structural_similarity(
        x, y, data_range=1, gaussian_weights=True, use_sample_covariance=False
    )
    assert ssim(x, y, data_range=1) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_short_floats_are_compared_in_double_precision(kind):
    x, y = (image.astype(kind) for image in pair(32, 40))
    expected = ms_ssim(x.astype(np.float64), y.astype(np.float64), data_range=1)
    assert ms_ssim(x, y, data_range=1) == expected


@pytest.mark.parametrize("axis", [0, -1])
def test_channels_as_scikit_image(axis):
    pairs = [pair(32, 40) for _ in "rgb"]
    x, y = (np.stack([images[i] for images in pairs], axis=axis) for i in (0, 1))
    expected = skimage.structural_similarity(
        x, y, data_range=1, gaussian_weights=True, use_sample_covariance=False, channel_axis=axis
    )
    assert ssim(x, y, data_range=1, channel_axis=axis) == pytest.approx(expected, rel=1e-6)


def test_ssim_as_torchmetrics_inside():
    x, y = pair(48, 64)
    tensors = [torch.from_numpy(image)[None, None] for image in (x, y)]
    _, full = structural_similarity_index_measure(*tensors, data_range=1.0, return_full_image=True)
    # It also counts the border, where it mirrors the image.
    inside = float(full[..., 5:-5, 5:-5].mean())
    assert ssim(x, y, data_range=1) == pytest.approx(inside, rel=1e-6)


@pytest.mark.parametrize("shape", [(40, 56), (16, 20, 24)])
def test_ssim_as_monai(shape):
    x, y = pair(*shape)
    tensors = [torch.from_numpy(image)[None, None] for image in (x, y)]
    expected = float(SSIMMetric(spatial_dims=len(shape), data_range=1.0)(*tensors))
    # MONAI computes in single precision.
    assert ssim(x, y, data_range=1) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("shape", "scales"), [((192, 200), 5), ((64, 90), 3), ((44, 48, 50), 3)])
def test_ms_ssim_as_monai(shape, scales):
    x, y = pair(*shape)
    weights = np.array((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)[:scales])
    metric = MultiScaleSSIMMetric(
        spatial_dims=len(shape), data_range=1.0, weights=tuple(weights / weights.sum())
    )
    tensors = [torch.from_numpy(image)[None, None] for image in (x, y)]
    assert ms_ssim_scales(shape) == scales
    assert ms_ssim(x, y, data_range=1) == pytest.approx(float(metric(*tensors)), rel=1e-5)


def test_psnr_and_mse_as_scikit_image():
    x, y = (RANDOM.integers(0, 256, (20, 30), dtype=np.uint8) for _ in range(2))
    assert mse(x, y) == pytest.approx(skimage.mean_squared_error(x, y), rel=1e-12)
    expected = skimage.peak_signal_noise_ratio(x, y, data_range=255)
    assert psnr(x, y, data_range=255) == pytest.approx(expected, rel=1e-12)


def test_equal_images():
    x, _ = pair(64, 64)
    assert ssim(x, x, data_range=1) == 1
    assert ms_ssim(x, x, data_range=1) == 1
    assert mse(x, x) == 0
    assert psnr(x, x, data_range=1) == math.inf


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int16])
def test_integers_are_as_floats_of_the_same_values(kind):
    x, y = (RANDOM.integers(0, 200, (24, 24)).astype(kind) for _ in range(2))
    a, b = x.astype(np.float64), y.astype(np.float64)
    for metric in (ssim, ms_ssim, psnr):
        assert metric(x, y, data_range=255) == metric(a, b, data_range=255)


@pytest.mark.parametrize("factor", [255, 4095])
def test_the_unit_does_not_matter(factor):
    x, y = pair(64, 48)
    for metric in (ssim, ms_ssim, psnr):
        assert metric(x * factor, y * factor, data_range=factor) == pytest.approx(
            metric(x, y, data_range=1), rel=1e-9
        )


def test_more_noise_is_less_alike():
    values = [[], [], []]
    for noise in (0.02, 0.1, 0.4):
        x, y = pair(96, 96, noise=noise)
        for column, metric in zip(values, (ssim, ms_ssim, psnr), strict=True):
            column.append(metric(x, y, data_range=1))
    for column in values:
        assert column == sorted(column, reverse=True)


def test_the_negative_of_an_image_is_not_alike():
    x, _ = pair(64, 64)
    assert ssim(x, 1 - x, data_range=1) < 0
    assert ms_ssim(x, 1 - x, data_range=1) == 0


def test_scales_of_sides():
    shapes = {(176, 400): 5, (175, 400): 4, (88, 88): 4, (87, 88): 3, (22, 22): 2, (11, 500): 1}
    assert {shape: ms_ssim_scales(shape) for shape in shapes} == shapes
    with pytest.raises(MetricError, match="at least 11"):
        ms_ssim_scales((10, 500))


def test_pairs_of_a_set():
    images = np.stack([pair(24, 24)[1] for _ in range(6)])
    alike, spread = pairwise_ms_ssim(images, pairs=100, seed=0, data_range=1)
    every = [ms_ssim(images[i], images[j], data_range=1) for i in range(6) for j in range(i)]
    assert alike == pytest.approx(np.mean(every), rel=1e-12)
    assert spread == pytest.approx(np.std(every), rel=1e-12)
    some = pairwise_ms_ssim(images, pairs=5, seed=0, data_range=1)
    assert some == pairwise_ms_ssim(images, pairs=5, seed=0, data_range=1)
    assert some != pairwise_ms_ssim(images, pairs=5, seed=1, data_range=1)


def test_one_image_again_and_again_is_no_diversity():
    images = np.repeat(pair(24, 24)[1][None], 5, axis=0)
    assert pairwise_ms_ssim(images, pairs=4, seed=0, data_range=1) == (1, 0)


def test_pairs_of_colour_images_and_volumes():
    colour = RANDOM.integers(0, 256, (3, 24, 24, 3), dtype=np.uint8)
    volumes = RANDOM.integers(0, 256, (3, 12, 12, 16), dtype=np.uint8)
    for images, axis in ((colour, -1), (volumes, None)):
        expected = np.mean(
            [
                ms_ssim(images[i], images[j], data_range=255, channel_axis=axis)
                for i, j in ((1, 0), (2, 0), (2, 1))
            ]
        )
        found = pairwise_ms_ssim(images, pairs=3, seed=0, data_range=255)[0]
        assert found == pytest.approx(expected, rel=1e-12)


X, Y = np.zeros((16, 16)), np.ones((16, 16))


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: mse(X, Y[:8]), "images"),
        (lambda: mse([], []), "real"),
        (lambda: mse(X, [["a"] * 16] * 16), "synthetic"),
        (lambda: mse([[1.0], [1.0, 2.0]], Y), "real"),
        (lambda: mse(X, np.full_like(X, np.nan)), "synthetic"),
        (lambda: psnr(X, Y, data_range=0), "data_range"),
        (lambda: psnr(X, Y, data_range=math.nan), "data_range"),
        (lambda: psnr(X, Y * 255, data_range=1), "data_range"),
        (lambda: ssim(X, Y * 255, data_range=1), "data_range"),
        (lambda: ssim(X[:10], Y[:10], data_range=1), "images"),
        (lambda: ssim(X[0], Y[0], data_range=1), "images"),
        (lambda: ssim(X, Y, data_range=1, channel_axis=5), "channel_axis"),
        (lambda: ms_ssim(X, Y[:8], data_range=1), "images"),
        (lambda: pairwise_ms_ssim(X[None], pairs=1, seed=0, data_range=1), "images"),
        (lambda: pairwise_ms_ssim(X, pairs=1, seed=0, data_range=1), "images"),
        (lambda: pairwise_ms_ssim(np.stack([X, Y]), pairs=0, seed=0, data_range=1), "pairs"),
        (lambda: pairwise_ms_ssim(np.zeros((4, 8, 8)), pairs=1, seed=0, data_range=1), "images"),
    ],
)
def test_what_cannot_be_compared_is_refused(call, argument):
    with pytest.raises(MetricError) as caught:
        call()
    assert caught.value.argument == argument


def test_the_range_has_no_default():
    for metric in (ssim, ms_ssim, psnr):
        with pytest.raises(TypeError, match="data_range"):
            metric(X, Y)
