"""The nearest reference image of each image, even if a copy was mirrored, shifted or brightened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medmint.errors import MetricError
from medmint.metrics.images import image_stack

Array = NDArray[Any]
Floats = NDArray[np.float32]
Whole = NDArray[np.int64]

FLIPS = ("none", "left-right", "up-down", "both")
#: Furthest shift that is searched, in pixels along each axis.
SHIFT = 8
#: Images are compared at this side first; the best few are then compared at full size.
COARSE_SIDE = 32
CANDIDATES = 5
_QUERIES = 256
_PAIRS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """The nearest reference image of each of n images.

    Attributes
    ----------
    index : ndarray of int64, shape (n,)
        Which reference image.
    distance : ndarray of float64, shape (n,)
        ``sqrt(2 - 2 r)`` with r the correlation where the two overlap: 0 for a copy, about 1.4
        for images that have nothing in common, 2 for a negative.
    flip : ndarray of int64, shape (n,)
        How the reference image was mirrored: a place in ``FLIPS``.
    shift : ndarray of int64, shape (n, 2)
        By how many rows and columns the mirrored reference image was then shifted.
    margin : tuple of two int
        Furthest shift that was searched: so far from the border nothing was compared.
    """

    index: Whole
    distance: NDArray[np.float64]
    flip: Whole
    shift: Whole
    margin: tuple[int, int]

    def __len__(self) -> int:
        return len(self.index)


def nearest_images(
    images: Array, reference: Array, *, shift: int = SHIFT, excluded: Array | None = None
) -> Neighbours:
    """Find the nearest reference image of each image over flips, shifts, brightness and contrast.

    Brightness and contrast fall out of the correlation coefficient. All pairs are compared at
    32 x 32 pixels, each flip and shift as one matrix product; the five best of each image again at
    full size by fast Fourier transforms. Only the part of an image that is at least ``shift``
    pixels from its border is looked for, so that every shift has something to be compared with.
    Colours are averaged; the slices of a volume are compared together.

    Parameters
    ----------
    images : ndarray, shape (n, height, width[, channels or depth])
        As :func:`medmint.metrics.images.image_stack` takes them.
    reference : ndarray, shape (m, height, width[, channels or depth])
        Images of the same size.
    shift : int
        Furthest shift along each axis, in pixels; a quarter of the side at most.
    excluded : ndarray of bool, shape (n, m), optional
        Pairs that do not count, such as an image and itself.

    Returns
    -------
    Neighbours

    Raises
    ------
    MetricError
        If the arrays are no images, sizes differ, or an image has all of the reference excluded.

    References
    ----------
    Lewis, "Fast normalized cross-correlation", Vision Interface 1995.

    Examples
    --------
    >>> images = np.random.default_rng(0).integers(0, 256, (3, 64, 64)).astype(np.uint8)
    >>> copy = np.roll(images[2:, :, ::-1], 5, axis=2) // 2 + 20
    >>> found = nearest_images(copy, images)
    >>> int(found.index[0]), FLIPS[found.flip[0]], found.shift[0].tolist()
    (2, 'left-right', [0, 5])
    """
    query, known = planes(images), planes(reference)
    if query.shape[1:] != known.shape[1:]:
        raise MetricError("images", f"size {images.shape[1:]}", f"size {reference.shape[1:]}")
    if excluded is not None and excluded.all(axis=1).any():
        raise MetricError("excluded", "an image with no reference image left", "at least one each")
    height, width = query.shape[2:]
    reach = (min(shift, height // 4), min(shift, width // 4))
    found = []
    for start in range(0, len(query), _QUERIES):
        part = slice(start, start + _QUERIES)
        left_out = None if excluded is None else excluded[part]
        candidates = _candidates(query[part], known, reach, left_out)
        found.append(_refined(query[part], known, reach, candidates))
    index, distance, flip, moved = (np.concatenate(column) for column in zip(*found, strict=True))
    return Neighbours(index=index, distance=distance, flip=flip, shift=moved, margin=reach)


def aligned_pairs(images: Array, reference: Array, found: Neighbours) -> tuple[Array, Array]:
    """Return images and their neighbours, mirrored and shifted onto them, without the border.

    Parameters
    ----------
    images, reference : ndarray
        As :func:`nearest_images` got them.
    found : Neighbours
        What it returned.

    Returns
    -------
    tuple of two ndarray, shape (n, height - 2 * margin, width - 2 * margin, ...)

    Examples
    --------
    >>> images = np.random.default_rng(0).integers(0, 256, (2, 64, 64)).astype(np.uint8)
    >>> turned = images[:, ::-1]
    >>> one, other = aligned_pairs(turned, images, nearest_images(turned, images))
    >>> one.shape, bool((one == other).all())
    ((2, 48, 48), True)
    """
    (down, right), (height, width) = found.margin, images.shape[1:3]
    others = []
    for row, move in enumerate(found.shift):
        other = flipped(reference[found.index[row]], int(found.flip[row]))
        top, left = down - int(move[0]), right - int(move[1])
        others.append(other[top : top + height - 2 * down, left : left + width - 2 * right])
    return images[:, down : height - down, right : width - right], np.stack(others)


def flipped(image: Array, flip: int) -> Array:
    """Return an image of shape (height, width, ...) mirrored as a place in ``FLIPS`` says."""
    rows = slice(None, None, -1) if flip & 2 else slice(None)
    columns = slice(None, None, -1) if flip & 1 else slice(None)
    return image[rows, columns]


def planes(images: Array) -> Floats:
    """Return images as float32 of shape (n, slices, height, width), colours averaged.

    Raises
    ------
    MetricError
        As :func:`medmint.metrics.images.image_stack`.
    """
    values = image_stack(images).astype(np.float32).mean(axis=-1)
    if values.ndim == 3:
        values = values[..., None]
    return np.ascontiguousarray(np.moveaxis(values, -1, 1))


def _candidates(
    query: Floats, known: Floats, reach: tuple[int, int], excluded: Array | None
) -> Whole:
    """Return the best reference images at coarse size, as ``flip * m + index``, shape (n, k)."""
    small, other = _reduced(query), _reduced(known)
    sides = zip(reach, query.shape[2:], small.shape[2:], strict=True)
    steps = [min(-(-furthest * short // side), short // 4) for furthest, side, short in sides]
    rows, columns = (side - 2 * s for side, s in zip(small.shape[2:], steps, strict=True))
    inner = small[:, :, steps[0] : steps[0] + rows, steps[1] : steps[1] + columns]
    inner = _normalised(inner)
    best = np.full((len(FLIPS), len(query), len(known)), -2, dtype=np.float32)
    for flip in range(len(FLIPS)):
        mirrored = flipped(other.transpose(2, 3, 0, 1), flip).transpose(2, 3, 0, 1)
        for top in range(2 * steps[0] + 1):
            for left in range(2 * steps[1] + 1):
                patch = _normalised(mirrored[:, :, top : top + rows, left : left + columns])
                np.maximum(best[flip], inner @ patch.T, out=best[flip])
    if excluded is not None:
        best[:, excluded] = -3
    flat = best.transpose(1, 0, 2).reshape(len(query), -1)
    count = min(CANDIDATES, flat.shape[1])
    chosen = np.argpartition(-flat, count - 1, axis=1)[:, :count]
    if excluded is not None:
        # Too few others: the best of those that count stands in for the ones that do not.
        top = flat.argmax(axis=1)[:, None]
        chosen = np.where(np.take_along_axis(flat, chosen, axis=1) < -2, top, chosen)
    return chosen.astype(np.int64)


def _reduced(images: Floats) -> Floats:
    """Average images down to the coarse side, volumes to eight slices as well."""
    import torch
    from torch.nn import functional

    slices, height, width = images.shape[1:]
    size = (min(8, slices), min(COARSE_SIDE, height), min(COARSE_SIDE, width))
    with torch.inference_mode():
        reduced = functional.adaptive_avg_pool3d(torch.from_numpy(images)[:, None], size)
    return np.asarray(reduced[:, 0].numpy())


def _normalised(patches: Floats) -> Floats:
    """Return one row per patch, of mean 0 and length 1.

    Uniform patches have no structure to compare: they are like each other and like nothing else,
    which one more column says.
    """
    rows = patches.reshape(len(patches), -1)
    rows = rows - rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled = np.divide(rows, length, out=np.zeros_like(rows), where=length > 1e-3)
    return np.concatenate([scaled, (length <= 1e-3).astype(np.float32)], axis=1)


def _refined(
    query: Floats, known: Floats, reach: tuple[int, int], candidates: Whole
) -> tuple[Whole, NDArray[np.float64], Whole, Whole]:
    """Compare each image with its candidates at full size; return the best of each."""
    count = candidates.shape[1]
    rows = np.repeat(np.arange(len(query)), count)
    flips, indices = np.divmod(candidates.ravel(), len(known))
    values, places = [], []
    for start in range(0, len(rows), _PAIRS):
        part = slice(start, start + _PAIRS)
        pairs = zip(indices[part], flips[part], strict=True)
        others = [flipped(known[i].transpose(1, 2, 0), int(f)).transpose(2, 0, 1) for i, f in pairs]
        scores = _correlations(query[rows[part]], np.stack(others), reach)
        flat = scores.reshape(len(scores), -1)
        values.append(flat.max(axis=1))
        places.append(np.stack(np.unravel_index(flat.argmax(axis=1), scores.shape[1:]), axis=1))
    correlation = np.concatenate(values).reshape(-1, count)
    chosen = correlation.argmax(axis=1) + np.arange(len(query)) * count
    distance = np.sqrt(np.maximum(2 - 2 * correlation.max(axis=1), 0)).astype(np.float64)
    moved = np.asarray(reach) - np.concatenate(places)[chosen]
    return indices[chosen], distance, flips[chosen], moved.astype(np.int64)


def _correlations(query: Floats, other: Floats, reach: tuple[int, int]) -> NDArray[np.float64]:
    """Correlate the inner part of each image with its partner at every shift.

    Returns
    -------
    ndarray of float64, shape (n, 2 * reach[0] + 1, 2 * reach[1] + 1)
    """
    height, width = query.shape[2:]
    rows, columns = height - 2 * reach[0], width - 2 * reach[1]
    inner = query[:, :, reach[0] : reach[0] + rows, reach[1] : reach[1] + columns]
    inner = inner - inner.mean(axis=(1, 2, 3), keepdims=True, dtype=np.float64)
    other = other - other.mean(axis=(1, 2, 3), keepdims=True, dtype=np.float64)
    spectrum = np.fft.rfft2(other) * np.conj(np.fft.rfft2(inner, s=(height, width)))
    shifts = (slice(None), slice(2 * reach[0] + 1), slice(2 * reach[1] + 1))
    product = np.fft.irfft2(spectrum.sum(axis=1), s=(height, width))[shifts]
    total = _box_sums(other.sum(axis=1), rows, columns)
    squares = _box_sums((other * other).sum(axis=1), rows, columns)
    pixels = rows * columns * query.shape[1]
    variance = np.maximum(squares - total * total / pixels, 0)
    own = (inner * inner).sum(axis=(1, 2, 3))[:, None, None]
    uniform = own <= 1e-6 * pixels
    other_uniform = variance <= 1e-6 * pixels
    scores = np.where(uniform & other_uniform, 1.0, 0.0)
    np.divide(product, np.sqrt(variance * own), out=scores, where=~(uniform | other_uniform))
    return np.asarray(np.clip(scores, -1, 1))


def _box_sums(images: Array, rows: int, columns: int) -> NDArray[np.float64]:
    """Return the sum over every box of rows x columns pixels that lies inside an image."""
    sums = np.pad(images.astype(np.float64).cumsum(axis=1).cumsum(axis=2), ((0, 0), (1, 0), (1, 0)))
    return np.asarray(
        sums[:, rows:, columns:]
        - sums[:, :-rows, columns:]
        - sums[:, rows:, :-columns]
        + sums[:, :-rows, :-columns]
    )
