"""Write one array to one file: PNG for pictures, NPY for anything."""

from __future__ import annotations

import io
from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

import numpy as np

from medmint.errors import ArgumentError
from medmint.samples import Array


class ArrayWriter(Protocol):
    """A file format."""

    suffix: str

    def encode(self, array: Array, *, offset: int) -> bytes:
        """Return the bytes of the file for one array; ``offset`` is what a stored 0 stands for."""

    def offset(self, dtype: np.dtype[np.generic], lowest: float | None) -> int:
        """Return what a stored 0 will stand for in an array of this type and lowest value."""


class PngWriter:
    """PNG with 8 or 16 bits, grey or colour.

    PNG knows no negative numbers: int16 is stored as uint16 after subtracting the lowest value of
    the model's range (or -32768). The manifest says so under ``offsets``: value = stored + offset.
    """

    suffix = ".png"
    #: Level 1 of zlib: a third of the time of Pillow's default for files a tenth larger.
    level = 1

    def offset(self, dtype: np.dtype[np.generic], lowest: float | None) -> int:
        """Return the lowest value for signed integers, else 0."""
        if dtype != np.int16:
            return 0
        return -32768 if lowest is None else int(lowest)

    def encode(self, array: Array, *, offset: int) -> bytes:
        """Encode an image of shape (height, width) or (height, width, 3 or 4).

        Raises
        ------
        ArgumentError
            If PNG cannot hold such an array.
        """
        from PIL import Image

        if array.dtype == np.int16:
            array = _shifted(array, offset)
        fits = (array.dtype == np.uint8 and array.ndim == 3 and array.shape[-1] in (3, 4)) or (
            array.dtype in (np.uint8, np.uint16) and array.ndim == 2
        )
        if not fits:
            raise ArgumentError(
                "output_format", "png", f"npy for {array.dtype} arrays of shape {array.shape}"
            )
        buffer = io.BytesIO()
        Image.fromarray(array).save(buffer, "png", compress_level=self.level)
        return buffer.getvalue()


def _shifted(array: Array, offset: int) -> Array:
    stored = array.astype(np.int32) - offset
    if stored.size and (stored.min() < 0 or stored.max() > np.iinfo(np.uint16).max):
        raise ArgumentError("output_format", "png", f"npy for values as low as {array.min()}")
    return stored.astype(np.uint16)


class NpyWriter:
    """NumPy's own format: any shape and number type, values as they are."""

    suffix = ".npy"

    def offset(self, dtype: np.dtype[np.generic], lowest: float | None) -> int:  # noqa: ARG002
        """Return 0: stored values are the values."""
        return 0

    def encode(self, array: Array, *, offset: int) -> bytes:  # noqa: ARG002
        """Encode an array of any shape."""
        buffer = io.BytesIO()
        np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
        return buffer.getvalue()


WRITERS: Mapping[str, ArrayWriter] = MappingProxyType({"png": PngWriter(), "npy": NpyWriter()})
