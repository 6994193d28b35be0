"""From what a model gives to what a screen shows: RGB pictures of 8 bits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medmint.catalogue.records import ModelRecord, OutputSpec
from medmint.samples import Array

Picture = NDArray[np.uint8]

_GAP = 2
#: Above it, the values of a mask are no class numbers but its brightness.
_MOST_CLASSES = 20
#: Colours of the classes of a label map, told apart by people with any colour vision
#: (Okabe and Ito, 2008).
_PALETTE = np.array(
    [
        (0, 0, 0),
        (230, 159, 0),
        (86, 180, 233),
        (0, 158, 115),
        (240, 228, 66),
        (0, 114, 178),
        (213, 94, 0),
        (204, 121, 167),
    ],
    dtype=np.uint8,
)


class Display:
    """Shows the images and masks of one model, all in the same window of values.

    Parameters
    ----------
    record : ModelRecord
        Says which values are to be black and white, and what is a volume.

    Examples
    --------
    >>> from medmint.config_manager import ConfigManager
    >>> display = Display(ConfigManager().record(10001))
    >>> display.image(np.array([[-20, 100]], dtype=np.int16))[..., 0].tolist()
    [[0, 255]]
    """

    def __init__(self, record: ModelRecord) -> None:
        self._spec = record.execution.output.get("image")
        self._window = self._spec.window if self._spec else None

    def fit(self, images: Sequence[Array]) -> None:
        """Choose a window from images, where the record has none and they need one."""
        if self._window is None and any(image.dtype != np.uint8 for image in images):
            low, high = np.percentile(np.stack(images), [1, 99])
            self._window = (float(low), float(high))

    def is_volume(self, array: Array) -> bool:
        """Tell whether an array has three sides."""
        return bool(array.ndim > 3 or (array.ndim == 3 and _has_depth(array, self._spec)))

    def image(self, image: Array, position: float = 0.5) -> Picture:
        """Return the picture of an image; of a volume, its three slices side by side.

        Parameters
        ----------
        image : ndarray, shape (height, width[, channels]) or (height, width, depth[, channels])
        position : float
            Which slice along each axis, from 0 (first) to 1 (last).

        Returns
        -------
        ndarray of uint8, shape (rows, columns, 3)
        """
        self.fit([image])
        if image.dtype != np.uint8 and self._window is not None:
            low, high = self._window
            scaled = (image.astype(np.float64) - low) * 255 / max(high - low, 1e-6)
            image = np.clip(scaled, 0, 255).astype(np.uint8)
        flat = _slices(image, position) if self.is_volume(image) else image
        if flat.ndim == 3 and flat.shape[2] >= 3:
            return flat[..., :3]
        # Of two channels, which are no colours, the first is shown.
        grey = flat if flat.ndim == 2 else flat[..., 0]
        return np.repeat(grey[..., None], 3, axis=2)

    def mask(self, mask: Array, position: float = 0.5) -> Picture:
        """Return the picture of a mask: white on black, or a colour for each class number.

        Parameters
        ----------
        mask : ndarray, shape (height, width) or (height, width, depth)
        position : float
            As for :meth:`image`.

        Returns
        -------
        ndarray of uint8, shape (rows, columns, 3)
        """
        flat = self.mask_values(mask, position)
        most = flat.max(initial=0)
        if most <= 1 or most > _MOST_CLASSES:
            grey = np.clip(flat * (255 if most <= 1 else 1), 0, 255).astype(np.uint8)
            return np.repeat(grey[..., None], 3, axis=2)
        colours = np.where(flat > 0, (flat.astype(np.int64) - 1) % (len(_PALETTE) - 1) + 1, 0)
        return _PALETTE[colours]

    def mask_values(self, mask: Array, position: float = 0.5) -> Array:
        """Return the values of a mask in the places where :meth:`mask` shows them."""
        return _slices(mask, position) if mask.ndim == 3 else mask


def _has_depth(array: Array, spec: OutputSpec | None) -> bool:
    if spec is not None and spec.spatial_dims is not None:
        return spec.spatial_dims == 3
    return bool(array.shape[-1] > 4)


def _slices(volume: Array, position: float) -> Array:
    """Put an axial, a coronal and a sagittal slice of a volume beside each other."""
    row, column, depth = (round(position * (side - 1)) for side in volume.shape[:3])
    axial = volume[:, :, depth]
    coronal = np.swapaxes(volume[row], 0, 1)[::-1]
    sagittal = np.swapaxes(volume[:, column], 0, 1)[::-1]
    slices = (axial, coronal, sagittal)
    height = max(len(one) for one in slices)
    width = sum(one.shape[1] for one in slices) + 2 * _GAP
    sheet = np.zeros((height, width, *volume.shape[3:]), dtype=volume.dtype)
    left = 0
    for one in slices:
        top = (height - len(one)) // 2
        sheet[top : top + len(one), left : left + one.shape[1]] = one
        left += one.shape[1] + _GAP
    return sheet
