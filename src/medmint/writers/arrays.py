"""NumPy's own formats: any shape and number type, values as they are."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from medmint.catalogue.records import ModelRecord
from medmint.samples import Array
from medmint.writers.sample_writer import EncodedFile, Sample


class NpyWriter:
    """An NPY file for each output."""

    def __init__(self, record: ModelRecord) -> None:
        """Take any model."""

    def header(self) -> dict[str, Any]:
        """Return nothing: stored values are the values."""
        return {}

    def encode(self, sample: Sample) -> Iterator[EncodedFile]:
        """Yield a file for each output."""
        for name, array in sample.arrays.items():
            yield EncodedFile((name,), ".npy", encode_npy(array))


class NpzWriter:
    """One compressed NPZ file a sample, with its outputs and its label under their names."""

    def __init__(self, record: ModelRecord) -> None:
        """Take any model."""

    def header(self) -> dict[str, Any]:
        """Return nothing: stored values are the values."""
        return {}

    def encode(self, sample: Sample) -> Iterator[EncodedFile]:
        """Yield one file."""
        members = dict(sample.arrays)
        if sample.label is not None:
            members["label"] = np.array(sample.label)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, array in members.items():
                # Made so, a member has a date that is always the same.
                member = zipfile.ZipInfo(f"{name}.npy")
                archive.writestr(member, encode_npy(array), zipfile.ZIP_DEFLATED)
        yield EncodedFile(tuple(sample.arrays), ".npz", buffer.getvalue())


def encode_npy(array: Array) -> bytes:
    """Return the file of an array."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()
