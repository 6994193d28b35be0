"""Metrics work in blocks: memory does not grow with the number of samples."""

import tracemalloc

import numpy as np
import pytest

from medmint import metrics


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "count", "dimension"),
    [
        ("frechet_distance", 50_000, 2048),
        # All distances at once would be 3.2 GB. At 2,048 dimensions: python -m benchmarks.metrics.
        ("kid", 20_000, 32),
        ("precision_recall", 20_000, 32),
        ("density_coverage", 20_000, 32),
    ],
)
def test_large_sets_take_less_than_a_gigabyte(name, count, dimension):
    features = np.random.default_rng(0).standard_normal((count, dimension), dtype=np.float32)
    tracemalloc.start()
    try:
        getattr(metrics, name)(features, features)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**29
