"""Measure the model against real frames: ``python evaluate.py --data FOLDER --split test``.

Prints the Frechet distance to the split of the model, of a Gaussian fitted to the pixels of the
training frames, and of training frames themselves, each for sets as large as the split, and
compares mask areas. The features are ``medmint.metrics.features.SeededConvolution``, put on the
scale of the real split: the numbers order sources, they are not an FID.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from train import read_split

from medmint.metrics.distances import frechet_distance
from medmint.metrics.features import SeededConvolution, standardise

FOLDER = Path(__file__).resolve().parent
COMPONENTS = (50, 100, 200, 400)
PERCENTILES = (5, 25, 50, 75, 95)
GREEN = (0, 255, 0)


class Gaussian:
    """Frames drawn from a Gaussian with the mean and the main components of a set of frames."""

    def __init__(self, frames: np.ndarray) -> None:
        pixels = frames.reshape(len(frames), -1).astype(np.float32)
        self.shape, self.mean = frames.shape[1:], pixels.mean(axis=0)
        centred = (pixels - self.mean) / np.sqrt(len(frames) - 1)
        # The Gram matrix of n frames is far smaller than the covariance of their pixels.
        variances, vectors = np.linalg.eigh(centred @ centred.T)
        # Centring takes one dimension; its eigenvalue is rounding alone.
        order = np.argsort(variances)[::-1][: len(frames) - 1]
        # Rows are principal directions, each as long as its deviation.
        self.directions = vectors[:, order].T @ centred

    def draw(self, count: int, components: int, seed: int) -> np.ndarray:
        """Return uint8 frames from the first ``components`` directions."""
        directions = self.directions[:components]
        generator = np.random.default_rng(seed)
        amounts = generator.standard_normal((count, len(directions)), dtype=np.float32)
        pixels = np.clip(np.rint(self.mean + amounts @ directions), 0, 255).astype(np.uint8)
        return pixels.reshape(count, *self.shape)


class Judge:
    """Frechet distances to one real set of frames."""

    def __init__(self, real: np.ndarray) -> None:
        self.extract = SeededConvolution()
        self.real = self.extract(real)

    def distance(self, frames: np.ndarray) -> float:
        """Return the distance of ``frames`` to the real set."""
        return frechet_distance(*standardise(self.real, self.extract(frames)))


def load_sampler(weights: Path) -> Any:
    """Import the package that this file lies in and load the weights."""
    spec = importlib.util.spec_from_file_location(
        FOLDER.name, FOLDER / "__init__.py", submodule_search_locations=[str(FOLDER)]
    )
    package = importlib.util.module_from_spec(spec)
    sys.modules[FOLDER.name] = package
    spec.loader.exec_module(package)
    return package.load(str(weights), "cpu")


def draw_model(sampler: Any, count: int, seed: int) -> np.ndarray:
    """Return ``count`` samples, uint8 of shape (count, size, size, 4), the mask last."""
    latents = np.random.default_rng(seed).standard_normal((count, 128)).astype(np.float32)
    parts = [sampler.sample(latents[i : i + 32]) for i in range(0, count, 32)]
    frames = np.concatenate([np.rint(part["image"] * 255).astype(np.uint8) for part in parts])
    masks = np.concatenate([part["mask"] for part in parts])
    return np.concatenate([frames, masks], axis=1).transpose(0, 2, 3, 1)


def choose_components(gaussian: Gaussian, val: np.ndarray, draws: int) -> int:
    """Return the number of components that comes closest to the val split."""
    judge = Judge(val)
    choices = [k for k in COMPONENTS if k < len(gaussian.directions)] + [len(gaussian.directions)]
    means = {
        k: np.mean([judge.distance(gaussian.draw(len(val), k, seed)) for seed in range(draws)])
        for k in choices
    }
    for k, mean in means.items():
        print(f"  {k} components: {mean:.1f} on val")
    return min(means, key=means.__getitem__)


def draw_without_replacement(frames: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return ``count`` different frames of a set."""
    return frames[np.random.default_rng(seed).choice(len(frames), count, replace=False)]


def report_masks(name: str, masks: np.ndarray) -> None:
    """Print the share of empty masks and the distribution of the areas of the others."""
    areas = (masks > 127).mean(axis=(1, 2)) * 100
    filled, empty = areas[areas > 0], np.mean(areas == 0)
    shape = np.percentile(filled, PERCENTILES).round(1).tolist() if len(filled) else "none"
    print(f"  {name}: {len(areas)} masks, {empty:.1%} empty, area in % at {PERCENTILES}: {shape}")


def save_sheet(samples: np.ndarray, path: Path, columns: int = 8) -> None:
    """Save samples with the outlines of their masks."""
    frames, inside = samples[..., :3].copy(), samples[..., 3] > 127
    padded = np.pad(inside, ((0, 0), (1, 1), (1, 1)), mode="edge")
    core = padded[:, 2:, 1:-1] & padded[:, :-2, 1:-1] & padded[:, 1:-1, 2:] & padded[:, 1:-1, :-2]
    frames[inside & ~core] = GREEN
    rows = [np.hstack(frames[i : i + columns]) for i in range(0, len(frames), columns)]
    Image.fromarray(np.vstack(rows)).save(path)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that prepare_data.py made")
    parser.add_argument("--weights", type=Path, default=FOLDER / "weights.safetensors")
    parser.add_argument(
        "--split", default="val", choices=("val", "test"), help="test: once, at last"
    )
    parser.add_argument("--draws", type=int, default=10, help="sets per source, seeds from 0")
    parser.add_argument("--sheet", type=Path, default=Path("samples.png"), help="64 samples as PNG")
    return parser.parse_args()


def main() -> None:
    """Print the numbers of the model card and save a sheet of samples."""
    options = parse_arguments()
    sampler = load_sampler(options.weights)
    size = sampler.generator.size
    train = read_split(options.data, "train", size)
    split = read_split(options.data, options.split, size)
    count = len(split)
    gaussian = Gaussian(train[..., :3])
    print("Gaussian of the pixels, mean distance:")
    val = read_split(options.data, "val", size)[..., :3]
    components = choose_components(gaussian, val, options.draws)
    judge = Judge(split[..., :3])
    sources = {
        "model": lambda seed: draw_model(sampler, count, seed)[..., :3],
        f"Gaussian, {components} components": lambda seed: gaussian.draw(count, components, seed),
        "real, training frames": lambda seed: draw_without_replacement(train[..., :3], count, seed),
    }
    print(f"frechet_distance[seeded_convolution] to {options.split}, {count} frames each,")
    print(f"mean and deviation over {options.draws} draws:")
    for name, draw in sources.items():
        distances = [judge.distance(draw(seed)) for seed in range(options.draws)]
        spread = np.std(distances, ddof=1) if options.draws > 1 else 0.0
        print(f"  {name}: {np.mean(distances):.1f} ({spread:.1f})")
    print("Masks:")
    report_masks(f"real, {options.split}", split[..., 3])
    drawn = [draw_model(sampler, count, seed)[..., 3] for seed in range(options.draws)]
    report_masks("model", np.concatenate(drawn))
    save_sheet(draw_model(sampler, 64, seed=0), options.sheet)
    print(f"64 samples with mask outlines: {options.sheet}")


if __name__ == "__main__":
    main()
