"""Make ``weights.safetensors``: eight Gaussian bumps at fixed places. Stands in for training."""

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

SIDE, BUMPS, WIDTH = 32, 8, 5.0


def patterns() -> np.ndarray:
    """Return float16 of shape (8, 1024), one bump per row, on a circle around the middle."""
    pixels = np.arange(SIDE) - (SIDE - 1) / 2
    angles = 2 * np.pi * np.arange(BUMPS) / BUMPS
    across = pixels - 8 * np.cos(angles)[:, None]
    down = pixels - 8 * np.sin(angles)[:, None]
    bumps = np.exp(-(down[:, :, None] ** 2 + across[:, None, :] ** 2) / (2 * WIDTH**2))
    return (3 * bumps).reshape(BUMPS, -1).astype(np.float16)


if __name__ == "__main__":
    save_file({"patterns": patterns()}, Path(__file__).parent / "weights.safetensors")
