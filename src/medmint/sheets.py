"""Contact sheets: many samples in one picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medmint.home import write_file
from medmint.samples import Array, GenerationResult

OUTLINE = (0, 255, 0)
_GAP = 2


def contact_sheet(
    images: Sequence[Array],
    masks: Sequence[Array] | None = None,
    *,
    columns: int | None = None,
    window: tuple[float, float] | None = None,
) -> NDArray[np.uint8]:
    """Lay images out in a grid, the outline of each mask drawn in green.

    Parameters
    ----------
    images : sequence of ndarray, shape (height, width) or (height, width, 3), of any number type
        Eight-bit images are shown as they are, others in the window.
        Of a volume, shape (height, width, depth), the middle slice is shown.
    masks : sequence of ndarray, shape (height, width), optional
        Everything that is not 0 is outlined.
    columns : int, optional
        Default: as square as possible.
    window : tuple of two float, optional
        Values that are shown black and white; default: the 1st and the 99th percentile.

    Returns
    -------
    ndarray of uint8, shape (rows * (height + 2) - 2, columns * (width + 2) - 2, 3)

    Examples
    --------
    >>> contact_sheet([np.zeros((8, 8), np.uint8)] * 3, columns=2).shape
    (18, 18, 3)
    """
    shown = _displayed([_slice(image) for image in images], window)
    if masks is not None:
        shown = [outlined(image, _slice(mask)) for image, mask in zip(shown, masks, strict=True)]
    columns = columns or int(np.ceil(np.sqrt(len(shown))))
    rows = -(-len(shown) // columns)
    height, width = shown[0].shape[0] + _GAP, shown[0].shape[1] + _GAP
    sheet = np.full((rows * height - _GAP, columns * width - _GAP, 3), 255, dtype=np.uint8)
    for number, image in enumerate(shown):
        top, left = number // columns * height, number % columns * width
        sheet[top : top + image.shape[0], left : left + image.shape[1]] = image
    return sheet


def outlined(image: NDArray[np.uint8], mask: Array) -> NDArray[np.uint8]:
    """Return a copy of an RGB image with the inner border of the mask drawn in green.

    Parameters
    ----------
    image : ndarray of uint8, shape (height, width, 3)
    mask : ndarray, shape (height, width)
    """
    inside = np.pad(mask != 0, 1)
    core = inside.copy()
    for shift in (-1, 1):
        core &= np.roll(inside, shift, axis=0) & np.roll(inside, shift, axis=1)
    border = (inside & ~core)[1:-1, 1:-1]
    result = image.copy()
    result[border] = OUTLINE
    return result


def _slice(array: Array) -> Array:
    is_volume = array.ndim == 3 and array.shape[-1] > 4
    return array[..., array.shape[-1] // 2] if is_volume else array


def _displayed(
    images: Sequence[Array], window: tuple[float, float] | None
) -> list[NDArray[np.uint8]]:
    """Bring images to 8 bits of RGB, all with the same window."""
    if any(image.dtype != np.uint8 for image in images):
        low, high = window or np.percentile(np.stack(images), [1, 99])
        scale = 255 / max(high - low, 1e-6)
        images = [np.clip((image - low) * scale, 0, 255).astype(np.uint8) for image in images]
    return [np.repeat(i[..., None], 3, axis=2) if i.ndim == 2 else i[..., :3] for i in images]


def write_picture(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write a PNG file, whole or not at all.

    Raises
    ------
    WriterError
        If it cannot be written.
    """
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(picture).save(content, "PNG")
    write_file(path, content.getvalue())


def save_sheet(result: GenerationResult, path: Path) -> Path:
    """Save the contact sheet of a saved run of PNG files, masks outlined where there are any.

    Parameters
    ----------
    result : GenerationResult
    path : Path
        Picture to write.

    Returns
    -------
    Path
        The same path.

    Raises
    ------
    WriterError
        If it cannot be written.
    """
    from PIL import Image

    lines = list(result.samples())
    images = [np.asarray(Image.open(result.folder / line["image"])) for line in lines]
    masks = [
        np.asarray(Image.open(result.folder / line["mask"])) for line in lines if "mask" in line
    ]
    write_picture(path, contact_sheet(images, masks or None))
    return path
