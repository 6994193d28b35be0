"""The smallest generate package: one function that returns images or writes them as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

SIDE = 32


def generate(
    model_file: str,
    num_samples: int,
    output_path: str,
    save_images: bool,
    contrast: float = 1.0,
) -> list[np.ndarray] | None:
    """Return uint8 images of 32 x 32 pixels, or write them to ``output_path``."""
    patterns = torch.load(model_file, map_location="cpu", weights_only=True)["patterns"]
    latents = torch.randn(num_samples, len(patterns))
    pixels = torch.sigmoid(contrast * (latents @ patterns)) * 255
    images = list(pixels.round().byte().reshape(-1, SIDE, SIDE).numpy())
    if not save_images:
        return images
    folder = Path(output_path)
    folder.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{i}.png")
    return None
