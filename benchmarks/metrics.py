"""How fast the metrics are beside SciPy and torchmetrics, how much memory they take, how far apart.

Run from the root of the repository: ``python -m benchmarks.metrics``. The figures are CPU seconds,
so that other work on the machine hardly counts; the ratios are what to read. ``--memory`` measures
the peak beyond the inputs at 50,000 x 2,048, which takes half an hour; ``--images FOLDER`` prints
how the distances without weights grow as the images of a folder get worse.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
import warnings
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy.linalg import sqrtm
from scipy.ndimage import gaussian_filter
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import poly_mmd

from medmint import metrics

DIMENSION = 2048
LARGE = 50_000


class Identity(torch.nn.Module):
    """Features that torchmetrics takes as they are."""

    num_features = DIMENSION

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the features."""
        return features


def draw(count: int, dimension: int = DIMENSION) -> tuple[np.ndarray, np.ndarray]:
    """Return two sets whose distributions differ a little."""
    random = np.random.default_rng(0)
    x = random.normal(size=(count, dimension))
    return x, random.normal(0.05, 1.1, (count, dimension))


def seconds(action: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Return the shortest CPU time of an action, in seconds, and what it returned."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        value = action()
        times.append(time.process_time() - start)
    return min(times), float(value)


def scipy_route(x: np.ndarray, y: np.ndarray) -> float:
    """Return the Frechet distance as it is mostly computed: by the root of the product."""
    first, second = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the root of a matrix without full rank
        root = sqrtm(first @ second).real
    offset = x.mean(axis=0) - y.mean(axis=0)
    return float(offset @ offset + np.trace(first) + np.trace(second) - 2 * np.trace(root))


def torchmetrics_route(x: np.ndarray, y: np.ndarray) -> float:
    """Return the Frechet distance of torchmetrics in double precision."""
    metric = FrechetInceptionDistance(feature=Identity(), input_img_size=(DIMENSION,))
    metric.set_dtype(torch.float64)
    metric.update(torch.from_numpy(x), real=True)
    metric.update(torch.from_numpy(y), real=False)
    return float(metric.compute())


def torchmetrics_kid(x: np.ndarray, y: np.ndarray) -> float:
    """Return the kernel distance of torchmetrics over all samples."""
    return float(poly_mmd(torch.from_numpy(x), torch.from_numpy(y)))


def compare_speed(repeats: int) -> bool:
    """Print the table of times; return whether every promise is kept."""
    cases = (
        ("Frechet distance", 1_000, metrics.frechet_distance, scipy_route, 5.0),
        ("Frechet distance", 10_000, metrics.frechet_distance, torchmetrics_route, 1.0),
        ("KID", 5_000, metrics.kid, torchmetrics_kid, 1.0),
    )
    print("| metric, d = 2,048 | n | medmint, s | other | its time, s | faster | at least |")
    print("|---|---:|---:|---|---:|---:|---:|")
    kept = True
    for name, count, ours, other, promise in cases:
        x, y = draw(count)
        own, value = seconds(lambda ours=ours, x=x, y=y: ours(x, y), repeats)
        theirs, reference = seconds(lambda other=other, x=x, y=y: other(x, y), 1)
        ratio = theirs / own
        kept &= ratio >= promise
        print(
            f"| {name} | {count:,} | {own:.2f} | {other.__name__} | {theirs:.2f} "
            f"| {ratio:.1f} x | {promise:.0f} x |",
            flush=True,
        )
        print(f"  values {value:.9g} and {reference:.9g}", file=sys.stderr)
    return kept


def peak_beyond_inputs(name: str) -> tuple[float, float, float]:
    """Return the memory that a metric adds to its inputs, in MB, its value and its CPU seconds."""
    random = np.random.default_rng(0)
    x, y = (random.standard_normal((LARGE, DIMENSION), dtype=np.float32) for _ in "xy")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    value = getattr(metrics, name)(x, y)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    value = value[0] if isinstance(value, tuple) else value
    return (peak - before) / 1024, value, time.process_time() - start


def measure_memory(names: list[str]) -> bool:
    """Print the memory of each metric, measured in a process of its own."""
    kept = True
    for name in names:
        with get_context("spawn").Pool(1) as pool:
            extra, value, taken = pool.apply(peak_beyond_inputs, (name,))
        kept &= extra < 1024
        print(
            f"{name}: {extra:.0f} MB beyond the inputs ({LARGE:,} x {DIMENSION:,} float32), "
            f"{taken:.0f} CPU s, value {value:.6g}",
            flush=True,
        )
    return kept


def compare_damage(folder: Path) -> None:
    """Print both weight-free distances for growing blur and noise of the images of a folder."""
    frames = np.stack([np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))])
    random = np.random.default_rng(0)
    series = {
        "blur": [
            gaussian_filter(frames.astype(np.float64), (0, s, s, 0)) for s in (0.3, 0.6, 1, 2)
        ],
        "noise": [frames + random.normal(0, s, frames.shape) for s in (2.55, 7.65, 25.5, 76.5)],
    }
    half = np.random.default_rng(0).permutation(len(frames))
    for name in ("seeded_convolution", "descriptors"):
        extract = metrics.find_extractor(name)
        real = extract(frames)
        first, second = np.array_split(real[half], 2)
        floor = metrics.frechet_distance(*metrics.standardise(first, second))
        print(f"{name}: {floor:.2f} between halves of the {len(frames)} images")
        for kind, worse in series.items():
            pixels = (np.rint(np.clip(images, 0, 255)).astype(np.uint8) for images in worse)
            pairs = (metrics.standardise(real, extract(images)) for images in pixels)
            distances = [metrics.frechet_distance(*pair) for pair in pairs]
            print(f"  {kind}: {', '.join(f'{distance:.2f}' for distance in distances)}")


def main() -> None:
    """Print what was asked for; end with 1 where a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument(
        "--memory",
        nargs="*",
        metavar="METRIC",
        help="measure memory in place of time; default: all four",
    )
    parser.add_argument("--images", type=Path, help="folder of PNG images of one size, in colour")
    options = parser.parse_args()
    if options.images:
        compare_damage(options.images)
        return
    if options.memory is not None:
        default = ["frechet_distance", "kid", "precision_recall", "density_coverage"]
        kept = measure_memory(options.memory or default)
    else:
        kept = compare_speed(options.repeats)
    if not kept:
        sys.exit("A promise is not kept.")


if __name__ == "__main__":
    main()
