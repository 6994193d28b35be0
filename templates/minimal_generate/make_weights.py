"""Make ``weights.pt``: eight Gaussian bumps at fixed places. Stands in for training."""

from pathlib import Path

import torch

SIDE, BUMPS, WIDTH = 32, 8, 5.0


def patterns() -> torch.Tensor:
    """Return float32 of shape (8, 1024), one bump per row, on a circle around the middle."""
    pixels = torch.arange(SIDE) - (SIDE - 1) / 2
    angles = 2 * torch.pi * torch.arange(BUMPS) / BUMPS
    across = pixels - 8 * torch.cos(angles)[:, None]
    down = pixels - 8 * torch.sin(angles)[:, None]
    bumps = torch.exp(-(down[:, :, None] ** 2 + across[:, None, :] ** 2) / (2 * WIDTH**2))
    return (3 * bumps).reshape(BUMPS, -1)


if __name__ == "__main__":
    torch.save({"patterns": patterns()}, Path(__file__).parent / "weights.pt")
