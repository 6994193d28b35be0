"""TIFF: whole and real numbers as they are, volumes as pages."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np

from medmint.catalogue.records import ModelRecord, OutputSpec
from medmint.samples import Array
from medmint.writers.sample_writer import (
    COLOUR_CHANNELS,
    EncodedFile,
    Sample,
    array_outputs,
    is_colour,
    number_of_sides,
    refusal,
)

_GREY = frozenset({"uint8", "uint16", "int16", "float32"})
_SAMPLE_FORMAT, _SIGNED = 339, 2
_CENTIMETRE, _MM_PER_CM = 3, 10


class TiffWriter:
    """A TIFF file for each output; page k of a volume is ``array[:, :, k]``.

    Raises
    ------
    ArgumentError
        If an output of the model has colours of more than 8 bits.
    """

    def __init__(self, record: ModelRecord) -> None:
        self._specs = array_outputs(record)
        for name, spec in self._specs.items():
            _check(name, spec.dtype, spec.channels or 1)

    def header(self) -> dict[str, Any]:
        """Return nothing: stored values are the values."""
        return {}

    def encode(self, sample: Sample) -> Iterator[EncodedFile]:
        """Yield a file for each output."""
        for name, array in sample.arrays.items():
            spec = self._specs.get(name)
            channels = array.shape[-1] if is_colour(array, spec) else 1
            _check(name, array.dtype.name, channels)
            yield EncodedFile((name,), ".tif", encode_tiff(name, array, spec))


def encode_tiff(name: str, array: Array, spec: OutputSpec | None) -> bytes:
    """Return the file of a picture or a volume."""
    from PIL import Image

    sides = number_of_sides(array, spec)
    if sides not in (2, 3):
        raise refusal("tiff", "npy", name, f"has {sides} sides")
    options: dict[str, Any] = {"compression": "tiff_adobe_deflate"}
    if array.dtype == np.int16:
        # Pillow has pages of unsigned 16 bits alone; this tag says how the same bits are read.
        array, options["tiffinfo"] = array.view(np.uint16), {_SAMPLE_FORMAT: _SIGNED}
    if spec is not None and spec.spacing_mm:
        down, right = spec.spacing_mm[:2]
        options |= {"resolution_unit": _CENTIMETRE}
        options |= {"x_resolution": _MM_PER_CM / right, "y_resolution": _MM_PER_CM / down}
    pages = np.moveaxis(array, 2, 0) if sides == 3 else array[None]
    first, *others = [Image.fromarray(np.ascontiguousarray(page)) for page in pages]
    buffer = io.BytesIO()
    first.save(buffer, "tiff", save_all=bool(others), append_images=others, **options)
    return buffer.getvalue()


def _check(name: str, dtype: str, channels: int) -> None:
    is_coloured = channels in COLOUR_CHANNELS and dtype == "uint8"
    if not is_coloured and (dtype not in _GREY or channels != 1):
        raise refusal("tiff", "npy", name, f"is of type {dtype} with {channels} channels")
