"""Features on disk: found by content, computed anew when anything that decides them changes."""

import numpy as np
import pytest
import torch

from medmint.errors import MetricError, WriterError
from medmint.metrics import FeatureCache, find_extractor
from medmint.metrics.features import SeededConvolution

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 16, 16), dtype=np.uint8)


class Counting(SeededConvolution):
    """An extractor that counts its calls."""

    calls = 0

    def __call__(self, images):
        self.calls += 1
        return super().__call__(images)


def test_a_set_is_computed_once(tmp_path):
    extractor, cache = Counting(), FeatureCache(tmp_path / "deep" / "folder")
    first = cache.features(extractor, IMAGES)
    again = FeatureCache(tmp_path / "deep" / "folder").features(extractor, IMAGES.copy())
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, SeededConvolution()(IMAGES))
    assert extractor.calls == 1


def changed_pixel():
    images = IMAGES.copy()
    images[1, 2, 3] += 1
    return images


@pytest.mark.parametrize(
    ("extractor", "images"),
    [
        (Counting(), changed_pixel()),
        (Counting(), IMAGES[:2]),
        (Counting(), IMAGES[::-1]),
        (Counting(), IMAGES.astype(np.uint16)),
        (Counting(), IMAGES.reshape(3, 8, 32)),
        (Counting(seed=1), IMAGES),
        (Counting(normalisation="minmax"), IMAGES),
        (Counting(window=(0, 100)), IMAGES),
    ],
)
def test_another_set_or_extractor_is_computed(tmp_path, extractor, images):
    cache = FeatureCache(tmp_path)
    cache.features(Counting(), IMAGES)
    found = cache.features(extractor, images)
    assert extractor.calls == 1
    np.testing.assert_array_equal(found, extractor(images))


def test_trained_networks_are_others(tmp_path):
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 256, 2))
    cache = FeatureCache(tmp_path)
    before = cache.features(find_extractor(network), IMAGES)
    with torch.no_grad():
        network[1].weight += 1
    assert not np.allclose(cache.features(find_extractor(network), IMAGES), before)


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_damaged_files_are_made_anew(tmp_path, damage):
    cache, extractor = FeatureCache(tmp_path), Counting()
    expected = cache.features(extractor, IMAGES)
    (path,) = tmp_path.iterdir()
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
    path.write_bytes(content[: {"cut": 200, "empty": 0}.get(damage)])
    np.testing.assert_array_equal(cache.features(extractor, IMAGES), expected)
    assert extractor.calls == 2
    cache.features(extractor, IMAGES)
    assert extractor.calls == 2


def test_functions_are_called_each_time(tmp_path):
    calls = []

    def function(images):
        calls.append(1)
        return np.full((len(images), 1), float(len(calls)))

    extractor, cache = find_extractor(function), FeatureCache(tmp_path)
    assert cache.features(extractor, IMAGES)[0] == 1
    assert cache.features(extractor, IMAGES)[0] == 2
    assert not list(tmp_path.iterdir())


def test_nothing_is_kept_of_a_failure(tmp_path):
    cache = FeatureCache(tmp_path)
    with pytest.raises(MetricError):
        cache.features(find_extractor(torch.nn.Conv2d(3, 1, 1)), IMAGES)
    with pytest.raises(MetricError):
        cache.features(Counting(), np.array([None, "images"]))
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_none_is_said(tmp_path):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(WriterError, match="cache"):
        FeatureCache(file).features(Counting(), IMAGES)
