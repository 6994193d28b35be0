"""Draw volumes as the middle slices of their three axes, with the outlines of their labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Anterior and posterior hippocampus.
COLOURS = {1: (60, 220, 60), 2: (255, 70, 60)}
SIDE = 64


def sheet(
    images: NDArray[np.uint8], labels: NDArray[np.uint8], *, columns: int = 4
) -> NDArray[np.uint8]:
    """Return a picture of volumes, three slices each: from above, from the front, from the side.

    Parameters
    ----------
    images, labels : ndarray of uint8, shape (n, x, y, z)
    columns : int
        Volumes side by side.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)
    """
    cells = [
        np.hstack([_slice(image, label, axis) for axis in (2, 1, 0)])
        for image, label in zip(images, labels, strict=True)
    ]
    cells += [np.zeros_like(cells[0])] * (-len(cells) % columns)
    rows = [np.hstack(cells[i : i + columns]) for i in range(0, len(cells), columns)]
    return np.vstack(rows).repeat(2, axis=0).repeat(2, axis=1)


def _slice(image: NDArray[np.uint8], label: NDArray[np.uint8], axis: int) -> NDArray[np.uint8]:
    """Return the slice in the middle of the labels as RGB, padded to a square."""
    labelled = np.flatnonzero(label.any(axis=tuple(a for a in range(3) if a != axis)))
    place = int(np.median(labelled)) if len(labelled) else image.shape[axis] // 2
    grey, parts = (np.flipud(array.take(place, axis=axis).T) for array in (image, label))
    picture = np.repeat(grey[..., None], 3, axis=2)
    for value, colour in COLOURS.items():
        inside = parts == value
        padded = np.pad(inside, 1)
        core = padded[2:, 1:-1] & padded[:-2, 1:-1] & padded[1:-1, 2:] & padded[1:-1, :-2]
        picture[inside & ~core] = colour
    down, right = SIDE - picture.shape[0], SIDE - picture.shape[1]
    edges = ((down // 2, down - down // 2), (right // 2, right - right // 2), (0, 0))
    return np.pad(picture, edges)
