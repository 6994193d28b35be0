"""Latent vectors, classes, batches, and what a run left behind."""

import json

import numpy as np
import pytest
from scipy import stats

from medmint.samples import (
    LARGEST_SEED,
    Batch,
    GenerationResult,
    batch_seed,
    draw_conditions,
    draw_seed,
    latent_vectors,
)


def test_latent_vectors_are_standard_normal():
    values = latent_vectors(7, 0, 500, 100)
    assert values.dtype == np.float32
    assert stats.kstest(values.ravel(), "norm").pvalue > 0.001
    assert abs(np.corrcoef(values[:-1].ravel(), values[1:].ravel())[0, 1]) < 0.02


def test_latent_vectors_are_the_same_on_every_machine_and_in_every_version():
    # Manifests of years ago name a seed: these numbers may never change.
    expected = [
        [-1.4470674991607666, -0.9134206771850586, -0.5155606865882874],
        [0.49724847078323364, 0.6683040857315063, -1.679805040359497],
    ]
    drawn = latent_vectors(7, 3, 5, 3)
    np.testing.assert_array_equal(drawn, np.array(expected, np.float32))


@pytest.mark.parametrize("other", [(8, 0), (7, 1), (0, 7), (7 + 2**32, 0), (LARGEST_SEED, 0)])
def test_other_seeds_and_indices_give_other_latents(other):
    seed, index = other
    first = latent_vectors(7, 0, 1, 8)
    assert not np.isclose(first, latent_vectors(seed, index, index + 1, 8)).any()


def test_classes_are_a_stream_of_their_own():
    classes = draw_conditions(7, 0, 6000, 3)
    assert classes.dtype == np.int64
    assert set(classes) == {0, 1, 2}
    assert stats.chisquare(np.bincount(classes)).pvalue > 0.001
    signs = latent_vectors(7, 0, 6000, 1)[:, 0] > 0
    assert abs(np.corrcoef(classes, signs)[0, 1]) < 0.05


def test_batch_seeds_fit_what_packages_take():
    seeds = {batch_seed(LARGEST_SEED, start) for start in range(0, 3200, 32)}
    assert len(seeds) == 100
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_drawn_seeds_differ():
    assert len({draw_seed() for _ in range(20)}) > 15


def test_a_batch_of_images_alone_yields_arrays():
    images = np.arange(2 * 4).reshape(2, 2, 2).astype(np.uint8)
    batch = Batch(0, {"image": images})
    assert len(batch) == 2
    for sample, image in zip(batch.samples(), images, strict=True):
        np.testing.assert_array_equal(sample, image)


def test_a_batch_with_more_yields_tuples_in_order():
    image, mask = np.zeros((2, 4, 4), np.uint8), np.ones((2, 4, 4), np.uint8)
    table = {"area": np.array([3.5, np.nan]), "count": np.array([1, 2])}
    batch = Batch(5, {"image": image, "mask": mask}, labels=["benign", "malignant"], table=table)
    first, second = batch.samples()
    assert first[0].sum() == 0
    assert first[1].sum() == 16
    assert first[2:] == ("benign", {"area": 3.5, "count": 1})
    assert second[3] == {"area": None, "count": 2}
    json.dumps(batch.rows(), allow_nan=False)


def test_a_result_reads_its_manifest(tmp_path):
    lines = [
        {"medmint_manifest": 1},
        {"index": 0, "image": "images/000000.png", "label": 1},
        {"from_index": 1, "batch_size": 1},
        {"index": 1, "image": "images/000001.png", "label": 0},
    ]
    (tmp_path / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = GenerationResult(tmp_path, 2, 7)
    assert [line["label"] for line in result.samples()] == [1, 0]
    assert result.paths == [tmp_path / "images" / "000000.png", tmp_path / "images" / "000001.png"]
