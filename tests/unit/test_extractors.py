"""Extractors by name or of one's own, what they may be called, and what they do wrong."""

import numpy as np
import pytest
import torch
from torch import nn

from medmint.errors import MetricError
from medmint.metrics import FeatureExtractor, find_extractor, metric_name
from medmint.metrics.descriptors import Descriptors
from medmint.metrics.features import SeededConvolution
from medmint.metrics.presets import Preset

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (5, 24, 32), dtype=np.uint8)


class Colours(nn.Module):
    """A network whose features are the means of the channels, with dropout while training."""

    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.5)
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, pixels):
        return self.dropout(pixels).mean(dim=(2, 3)) * self.scale


@pytest.mark.parametrize(
    ("name", "kind", "size"),
    [("seeded_convolution", SeededConvolution, 198), ("descriptors", Descriptors, 46)],
)
def test_extractors_without_weights(name, kind, size):
    extractor = find_extractor(name, normalisation="minmax")
    assert isinstance(extractor, kind)
    assert isinstance(extractor, FeatureExtractor)
    assert extractor.name == name
    assert extractor.weights_sha256 is None
    assert extractor.preset["normalisation"] == "minmax"
    assert extractor(IMAGES).shape == (5, size)
    assert metric_name("frechet_distance", extractor) == f"frechet_distance[{name}]"


def test_a_network_runs_in_eval_mode_and_is_left_as_it_was():
    network = Colours()
    network.dropout.eval()
    extractor = find_extractor(network)
    features = extractor(IMAGES)
    np.testing.assert_array_equal(features, find_extractor(network)(IMAGES))
    np.testing.assert_allclose(features, np.repeat(IMAGES.mean(axis=(1, 2))[:, None] / 255, 3, 1))
    assert (network.training, network.dropout.training) == (True, False)
    assert metric_name("kid", extractor) == "kid[Colours]"


def test_a_network_is_known_by_its_weights_and_layers():
    network = Colours()
    extractor = find_extractor(network)
    before = extractor.weights_sha256
    assert before == find_extractor(Colours()).weights_sha256
    with torch.no_grad():
        network.scale[0] = 2
    assert extractor.weights_sha256 != before
    other = Colours()
    other.dropout.p = 0.1
    assert find_extractor(other).preset["layers"] != extractor.preset["layers"]


def test_a_network_gets_what_its_preset_says():
    seen = []

    class Watching(Colours):
        def forward(self, pixels):
            seen.append(pixels)
            return super().forward(pixels)

    preset = Preset("mine", side=16, scale="x/127.5-1", channels="bgr")
    extractor = find_extractor(Watching(), preset=preset, window=(0, 128))
    extractor(RANDOM.integers(0, 256, (2, 24, 32, 3), dtype=np.uint8))
    assert seen[0].shape == (2, 3, 16, 16)
    assert extractor.preset["window"] == (0, 128)
    assert extractor.preset["channels"] == "bgr"


def test_a_function_gets_the_images_as_they_are():
    def brightness(images):
        assert images is IMAGES
        return images.mean(axis=(1, 2))[:, None]

    extractor = find_extractor(brightness)
    assert extractor(IMAGES).tolist() == IMAGES.mean(axis=(1, 2))[:, None].tolist()
    assert (extractor.name, extractor.weights_sha256) == ("brightness", None)


def test_an_extractor_is_taken_as_it_is():
    extractor = SeededConvolution(seed=3)
    assert find_extractor(extractor) is extractor
    assert extractor.preset["seed"] == 3


@pytest.mark.parametrize(
    ("output", "fault"),
    [
        (np.zeros(5), "shape"),
        (np.zeros((4, 2)), "shape"),
        (np.zeros((5, 0)), "shape"),
        (np.zeros((5, 2, 3, 3)), "shape"),
        (np.where(np.arange(10).reshape(5, 2) == 6, np.nan, 0), "image 3"),
        (np.full((5, 2), np.inf), "image 0"),
        ([["a", "b"]] * 5, "list"),
        ({"features": 1}, "dict"),
        (None, "shape|NoneType"),
    ],
)
def test_what_is_no_feature_is_refused(output, fault):
    def wrong(images):
        return output

    with pytest.raises(MetricError, match=fault) as caught:
        find_extractor(wrong)(IMAGES)
    assert caught.value.argument == "extractor wrong"


def test_a_network_that_fails_or_returns_maps_is_named():
    with pytest.raises(MetricError, match=r"extractor Conv2d.*\(5, 3, 24, 32\)"):
        find_extractor(nn.Conv2d(1, 1, 1))(IMAGES)
    with pytest.raises(MetricError, match=r"extractor Conv2d.*shape \(5, 4, 24, 32\)"):
        find_extractor(nn.Conv2d(3, 4, 1))(IMAGES)

    class Tuple(nn.Module):
        def forward(self, pixels):
            return pixels, pixels[:1]

    with pytest.raises(MetricError, match="extractor Tuple"):
        find_extractor(Tuple())(IMAGES)


@pytest.mark.parametrize(
    ("extractor", "options", "argument"),
    [
        ("resnet", {}, "extractor"),
        (3, {}, "extractor"),
        ("descriptors", {"weights": "file.pt"}, "weights"),
        ("seeded_convolution", {"preset": "unit"}, "preset"),
        ("seeded_convolution", {"normalisation": "zscore"}, "normalisation"),
        ("descriptors", {"window": (3, 1)}, "window"),
        (nn.Identity(), {"weights": "file.pt"}, "weights"),
        (nn.Identity(), {"preset": "other"}, "preset"),
        (len, {"normalisation": "minmax"}, "normalisation"),
        (SeededConvolution(), {"window": (0, 1)}, "window"),
    ],
)
def test_options_that_are_none_are_refused(extractor, options, argument):
    with pytest.raises(MetricError) as caught:
        find_extractor(extractor, **options)
    assert caught.value.argument == argument
