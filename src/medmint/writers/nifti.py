"""NIfTI files, by nibabel: values as they are, with spacing and orientation where known."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import Any

import numpy as np

from medmint.catalogue.records import ModelRecord
from medmint.optional import require
from medmint.samples import Array
from medmint.writers.geometry import affine_of
from medmint.writers.sample_writer import (
    EncodedFile,
    Sample,
    array_outputs,
    is_colour,
    number_of_sides,
    refusal,
)

_TYPES = frozenset({"uint8", "uint16", "int16", "int32", "float32", "float64"})
_COLOURS = {3: "RGB", 4: "RGBA"}
_SCANNER = 1

#: Sides are counted in 16 bits with a sign.
_LONGEST_SIDE = 32767


class NiftiWriter:
    """A compressed NIfTI file for each output; masks are label maps with the image's geometry.

    Axis k of an array is axis k of the file. Where the record says where the axes lead, the file
    says so in its affine; where it does not, the codes of the affine are 0: unknown.

    Raises
    ------
    MissingExtraError
        If nibabel is not installed.
    ArgumentError
        If an output of the model has channels that are no colours.
    """

    def __init__(self, record: ModelRecord) -> None:
        self._nibabel = require("nibabel", extra="nifti")
        self._specs = array_outputs(record)
        for name, spec in self._specs.items():
            _check(name, spec.dtype, spec.spatial_dims or 2, spec.channels or 1)

    def header(self) -> dict[str, Any]:
        """Return nothing: stored values are the values."""
        return {}

    def encode(self, sample: Sample) -> Iterator[EncodedFile]:
        """Yield a file for each output."""
        for name, array in sample.arrays.items():
            yield EncodedFile((name,), ".nii.gz", self._encode(name, array, sample))

    def _encode(self, name: str, array: Array, sample: Sample) -> bytes:
        own = self._specs.get(name)
        colour = is_colour(array, own)
        sides = number_of_sides(array, own)
        _check(name, array.dtype.name, sides, array.shape[-1] if colour else 1)
        if max(array.shape) > _LONGEST_SIDE:
            raise refusal("nifti", "npy", name, f"has a side of more than {_LONGEST_SIDE} pixels")
        spacing = _spacing(self._geometry("spacing_mm", name), sides)
        orientation = self._geometry("orientation", name) or ""
        affine = affine_of(spacing, orientation[:sides])
        data = _as_colours(array) if colour else array
        image = self._nibabel.Nifti1Image(data, affine)
        code = _SCANNER if orientation else 0
        image.set_sform(affine if code else None, code)
        image.set_qform(affine if code else None, code)
        header = image.header
        header.set_zooms(spacing[:sides])
        header.set_xyzt_units("mm" if self._geometry("spacing_mm", name) else "unknown")
        header["descrip"] = f"synthetic: medmint {sample.run['model_id']}"[:79].encode()
        header["intent_name"] = b"synthetic"
        # nibabel's own compression would write down the time.
        return gzip.compress(image.to_bytes(), compresslevel=6, mtime=0)

    def _geometry(self, field: str, name: str) -> Any:
        """Return what the record says of an output, or else of the image that it belongs to."""
        own, image = (getattr(self._specs.get(one), field, None) for one in (name, "image"))
        return own or image


def _spacing(known: tuple[float, ...] | None, sides: int) -> tuple[float, float, float]:
    first, second, third = (*(known or ())[:sides], 1.0, 1.0, 1.0)[:3]
    return first, second, third


def _as_colours(array: Array) -> Array:
    """Return an array whose last axis is one value of NIfTI's colour type."""
    names = _COLOURS[array.shape[-1]]
    colour = np.dtype([(name, np.uint8) for name in names])
    return np.ascontiguousarray(array).view(colour)[..., 0]


def _check(name: str, dtype: str, sides: int, channels: int) -> None:
    is_coloured = channels in _COLOURS and dtype == "uint8"
    if sides not in (2, 3) or not (is_coloured or (channels == 1 and dtype in _TYPES)):
        reason = f"is of type {dtype} with {sides} sides and {channels} channels"
        raise refusal("nifti", "npy", name, reason)
