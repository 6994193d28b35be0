"""Stacks of images: what is taken for one, and how values become grey levels and pixels."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from medmint.errors import MetricError
from medmint.metrics.images import image_stack, signed_unit
from medmint.metrics.presets import PRESETS, Preset, find_preset

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("shape", "stack"),
    [
        ((2, 16, 12), (2, 16, 12, 1)),
        ((2, 16, 12, 1), (2, 16, 12, 1)),
        ((2, 16, 12, 3), (2, 16, 12, 3)),
        ((2, 16, 12, 8), (2, 16, 12, 8, 1)),
        ((2, 16, 12, 5, 1), (2, 16, 12, 5, 1)),
        ((2, 16, 12, 5, 3), (2, 16, 12, 5, 3)),
    ],
)
def test_shapes_that_are_images(shape, stack):
    assert image_stack(np.zeros(shape, np.uint8)).shape == stack


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((16, 12), np.uint8),
        np.zeros((0, 16, 12), np.uint8),
        np.zeros((2, 0, 12), np.uint8),
        np.zeros((2, 16, 12, 2), np.uint8),
        np.zeros((2, 16, 12, 4), np.uint8),
        np.zeros((2, 16, 12, 7), np.uint8),
        np.zeros((2, 16, 12, 5, 4), np.uint8),
        np.zeros((2, 16, 12), bool),
        np.zeros((2, 16, 12), np.int64),
        np.zeros((2, 16, 12), complex),
        [np.zeros((16, 12)), np.zeros((12, 16))],
        [np.zeros((16, 12)), np.zeros((16, 12, 3))],
        [["a", "b"]],
        None,
    ],
)
def test_what_is_no_stack_of_images_is_refused(images):
    with pytest.raises(MetricError) as caught:
        image_stack(images)
    assert caught.value.argument == "images"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_the_image_with_a_pixel_that_is_no_number_is_named(value):
    images = np.zeros((4, 8, 8))
    images[2, 3, 3] = value
    with pytest.raises(MetricError, match="image 2 with NaN"):
        image_stack(images)


def levels(values, kind, **options):
    stack = np.array(values, dtype=kind).reshape(1, 1, -1, 1)
    return ((signed_unit(stack, **options).ravel() + 1) / 2).tolist()


def test_types_say_what_is_black_and_white():
    assert levels([0, 255], np.uint8) == [0, 1]
    assert levels([0, 65535], np.uint16) == [0, 1]
    assert levels([0.0, 0.5, 1.0], np.float64) == [0, 0.5, 1]


@pytest.mark.parametrize(
    ("values", "kind"), [([0, 1], np.int16), ([0.0, 1.5], np.float32), ([-0.1, 1.0], np.float64)]
)
def test_values_without_a_range_need_a_window(values, kind):
    with pytest.raises(MetricError, match="window"):
        levels(values, kind)
    assert levels(values, kind, window=(values[0], values[1])) == [0, 1]
    assert levels(values, kind, normalisation="minmax") == [0, 1]


def test_a_window_clips():
    assert levels([-2000, -1000, -300, 400, 3000], np.int16, window=(-1000, 400)) == [
        0,
        0,
        0.5,
        1,
        1,
    ]


def test_sixteen_bits_are_kept():
    neighbours = levels([30000, 30001], np.uint16)
    assert neighbours[0] < neighbours[1]


def test_images_are_normalised_one_by_one():
    stack = np.array([[10, 20, 30], [0, 100, 200]], np.uint8).reshape(2, 1, 3, 1)
    unit = signed_unit(stack, "minmax").reshape(2, 3)
    np.testing.assert_array_equal(unit, [[-1, 0, 1], [-1, 0, 1]])


def test_percentiles_forget_outliers():
    image = np.linspace(0, 1, 1000)
    image[0], image[-1] = -50, 50
    unit = signed_unit(image.reshape(1, 10, 100, 1), "percentile").ravel()
    assert unit[0] == unit.min() == -1
    assert unit[-1] == unit.max() == 1
    assert np.ptp(unit[100:900]) > 1.5


@pytest.mark.parametrize("normalisation", ["minmax", "percentile"])
@pytest.mark.parametrize("value", [0, 7])
def test_an_image_of_one_value_becomes_black(normalisation, value):
    stack = np.full((1, 4, 4, 1), value, np.uint8)
    assert (signed_unit(stack, normalisation) == -1).all()


@pytest.mark.parametrize(
    ("normalisation", "window"),
    [
        ("other", None),
        ("minmax", (0, 1)),
        ("none", (1, 1)),
        ("none", (0, np.nan)),
        ("none", (2, 1)),
    ],
)
def test_other_normalisations_and_windows_are_refused(normalisation, window):
    with pytest.raises(MetricError):
        Preset("mine").adapted(normalisation, window)


# Presets

COLOUR = RANDOM.integers(0, 256, (2, 20, 30, 3), dtype=np.uint8)


def chw(images):
    return torch.from_numpy(images.astype(np.float32)).permute(0, 3, 1, 2)


def test_the_preset_of_pytorch_fid():
    expected = functional.interpolate(chw(COLOUR) / 255, size=(299, 299), mode="bilinear") * 2 - 1
    torch.testing.assert_close(PRESETS["pytorch_fid"].prepare(COLOUR), expected, atol=1e-5, rtol=0)


def test_the_preset_of_torchmetrics():
    resized = functional.interpolate(chw(COLOUR), size=(299, 299), mode="bilinear", antialias=True)
    prepared = PRESETS["torchmetrics"].prepare(COLOUR)
    torch.testing.assert_close(prepared, (resized - 128) / 128, atol=1e-5, rtol=0)


def test_the_preset_of_medigan_swaps_the_channels():
    expected = PRESETS["pytorch_fid"].prepare(COLOUR).flip(1)
    torch.testing.assert_close(PRESETS["medigan"].prepare(COLOUR), expected)


def tf1_pixel(image, row, column, side):
    """Interpolate one pixel as TensorFlow 1 did: places are index times scale, corners fixed."""
    y, x = row * image.shape[0] / side, column * image.shape[1] / side
    top, left = int(y), int(x)
    bottom, right = min(top + 1, image.shape[0] - 1), min(left + 1, image.shape[1] - 1)
    across_top = image[top, left] + (image[top, right] - image[top, left]) * (x - left)
    across_bottom = image[bottom, left] + (image[bottom, right] - image[bottom, left]) * (x - left)
    return across_top + (across_bottom - across_top) * (y - top)


@pytest.mark.parametrize("shape", [(20, 30), (299, 299), (400, 310)])
def test_the_preset_of_torch_fidelity(shape):
    images = RANDOM.integers(0, 256, (1, *shape, 3), dtype=np.uint8)
    prepared = PRESETS["torch_fidelity"].prepare(images).numpy()[0]
    for row, column in ((0, 0), (298, 298), (17, 250), (150, 3)):
        expected = (tf1_pixel(images[0].astype(float), row, column, 299) - 128) / 128
        np.testing.assert_allclose(prepared[:, row, column], expected, atol=2e-5)


def test_the_preset_of_imagenet():
    white = PRESETS["imagenet_224"].prepare(np.full((1, 8, 8, 3), 255, np.uint8))
    np.testing.assert_allclose(
        white[0, :, 0, 0].numpy(),
        (1 - np.array([0.485, 0.456, 0.406])) / [0.229, 0.224, 0.225],
        rtol=1e-6,
    )


def test_grey_images_are_repeated():
    prepared = PRESETS["unit"].prepare(COLOUR[..., :1])
    assert prepared.shape == (2, 3, 20, 30)
    torch.testing.assert_close(prepared[:, 0], prepared[:, 2])


def test_a_volume_is_normalised_as_a_whole_and_counts_once():
    volume = np.zeros((1, 8, 8, 10), np.uint8)
    volume[..., 5] = 100
    volume[:, :4, :, 5] = 200
    seen = []

    def mean_level(pixels):
        seen.append(pixels.numpy())
        return pixels.mean(dim=(1, 2, 3), dtype=torch.float64)[:, None].numpy()

    preset = Preset("mine", scale="x/255", normalisation="minmax")
    features = preset.features(volume, mean_level, chunk=4)
    # One slice of ten is grey and white by halves.
    assert features.tolist() == [[pytest.approx(0.075)]]
    assert [len(part) for part in seen] == [4, 4, 2]
    assert seen[0].max() == 0


def test_unknown_presets_are_named():
    with pytest.raises(MetricError, match="torch_fidelity"):
        find_preset("keras")
