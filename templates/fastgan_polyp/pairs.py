"""Frames with their masks as one array of four channels, the mask last."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from medmint.model_trainer import read_images
from medmint.sheets import contact_sheet, write_picture

#: How far changed copies are changed: pixels of shift, shares of zoom, brightness and contrast.
REACH, ZOOM, BRIGHTNESS, CONTRAST = 6, 0.05, 0.06, 0.08

Bytes = NDArray[np.uint8]


def read_pairs(folder: Path, split: str, size: int) -> Bytes:
    """Read frames and masks of one split as uint8 of shape (n, size, size, 4), the mask last."""
    found = read_images(folder, split, size=size, channels=3, with_masks=True)
    return np.concatenate([found.images, found.masks[..., None]], axis=3)


def to_pixels(pairs: Bytes) -> Tensor:
    """Bring uint8 pairs, channels last, to (n, 4, side, side) in [-1, 1]."""
    return torch.from_numpy(pairs).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_bytes(pixels: Tensor) -> Bytes:
    """Bring (n, 4, side, side) in [-1, 1] to uint8, channels last."""
    levels = ((pixels.float() + 1) * 127.5).round().clamp(0, 255).byte()
    return levels.permute(0, 2, 3, 1).cpu().numpy()


def vary(pairs: Tensor, random: torch.Generator, *, zoom: float = 0.0) -> Tensor:
    """Shift by whole pixels and zoom frame and mask; change brightness and contrast of the frame.

    Without zoom no pixel is interpolated, so that texture stays as sharp as it was.
    """
    count, side = len(pairs), pairs.shape[-1]
    shifts = torch.randint(-REACH, REACH + 1, (count, 2), generator=random) * 2 / side
    scale = 1 + zoom * (2 * torch.rand(count, generator=random) - 1)
    maps = torch.zeros(count, 2, 3)
    maps[:, 0, 0] = maps[:, 1, 1] = scale
    maps[:, :, 2] = shifts
    grid = functional.affine_grid(maps, list(pairs.shape), align_corners=False)
    moved = functional.grid_sample(
        pairs, grid, mode="bicubic", padding_mode="border", align_corners=False
    )
    brightness, contrast = (2 * torch.rand(2, count, 1, 1, 1, generator=random) - 1).unbind()
    frames = moved[:, :3] * (1 + CONTRAST * contrast) + BRIGHTNESS * brightness
    return torch.cat([frames, moved[:, 3:]], dim=1).clamp(-1, 1)


def save_sheet(pairs: Bytes, path: Path) -> None:
    """Save pairs, uint8 of shape (n, side, side, 4), with the outlines of their masks."""
    sheet = contact_sheet(list(pairs[..., :3]), list(pairs[..., 3] > 127), columns=8)
    write_picture(path, sheet)
