"""Measure the phantom for its card: ``python measure.py --count 1000 --seed 0 [--sheet FILE]``.

Needs Pillow for the sheet alone.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).resolve().parent
SPACING_MM = 0.85
WINDOW_HU = (-20, 100)
PERCENTILES = (0, 5, 50, 95, 100)


def load_package() -> Any:
    """Import the package that this file lies in."""
    spec = importlib.util.spec_from_file_location(
        FOLDER.name, FOLDER / "__init__.py", submodule_search_locations=[str(FOLDER)]
    )
    package = importlib.util.module_from_spec(spec)
    sys.modules[FOLDER.name] = package
    spec.loader.exec_module(package)
    return package


def contrast(image: np.ndarray, lesion: np.ndarray) -> float:
    """Return the mean inside the lesion less the mean of a ring of 3 pixels around it, in HU."""
    grown = lesion
    for _ in range(3):
        grown = grown | _neighbours(grown)
    return float(image[lesion].mean() - image[grown & ~lesion].mean())


def _neighbours(mask: np.ndarray) -> np.ndarray:
    shifts = [(1, 0), (-1, 0), (1, 1), (-1, 1)]
    return np.logical_or.reduce([np.roll(mask, step, axis) for step, axis in shifts])


def save_sheet(samples: dict[str, np.ndarray], path: Path) -> None:
    """Save eight slices in a brain window, and beneath each the same with the lesion's outline."""
    from PIL import Image

    low, high = WINDOW_HU
    rows = []
    for start in (0, 4):
        plain, outlined = [], []
        for i in range(start, start + 4):
            image, mask = samples["image"][i, 0], samples["mask"][i, 0] > 0
            grey = np.clip((image - low) * (255 / (high - low)), 0, 255).astype(np.uint8)
            edge = _neighbours(mask) & ~mask
            plain.append(grey)
            outlined.append(np.where(edge, 255, grey))
        rows += [np.hstack(plain), np.hstack(outlined)]
    # Sixteen grey levels keep the noise visible and the file small.
    Image.fromarray((np.vstack(rows) // 16 * 17).astype(np.uint8)).save(path, optimize=True)


def main() -> None:
    """Print the distribution of lesion areas and contrasts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sheet", type=Path, help="where to save eight slices as PNG")
    options = parser.parse_args()
    package = load_package()
    sampler = package.load()
    generator = np.random.default_rng(options.seed)
    latents = generator.standard_normal((options.count, package.LATENT_SIZE))
    areas, contrasts = [], []
    for latent in latents.astype(np.float32):
        sample = sampler.sample(latent[None])
        lesion = sample["mask"][0, 0] > 0
        areas.append(lesion.sum())
        contrasts.append(contrast(sample["image"][0, 0], lesion))
    areas, contrasts = np.array(areas), np.array(contrasts)
    square_cm = areas * (SPACING_MM / 10) ** 2
    print(f"{options.count} samples, seed {options.seed}")
    print(f"without lesion: {np.mean(areas == 0):.1%}   brighter: {np.mean(contrasts > 0):.1%}")
    print(f"percentiles {PERCENTILES}")
    print("lesion area, pixels:", np.percentile(areas, PERCENTILES).round().astype(int).tolist())
    print("lesion area, cm2:", np.percentile(square_cm, PERCENTILES).round(2).tolist())
    for name, chosen in (("darker", contrasts < 0), ("brighter", contrasts > 0)):
        spread = np.percentile(contrasts[chosen], PERCENTILES).round(1).tolist()
        print(f"contrast of {name} lesions, HU:", spread)
    if options.sheet:
        save_sheet(sampler.sample(latents[:8]), options.sheet)


if __name__ == "__main__":
    main()
