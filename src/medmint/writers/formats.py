"""The file formats by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from medmint.catalogue.records import ModelRecord
from medmint.errors import ArgumentError
from medmint.writers.arrays import NpyWriter, NpzWriter
from medmint.writers.dicom import DicomWriter
from medmint.writers.nifti import NiftiWriter
from medmint.writers.png import PngWriter
from medmint.writers.sample_writer import SampleWriter
from medmint.writers.tiff import TiffWriter

#: Makes the writer of a format for one model, or refuses with a typed error before anything is
#: written.
WRITERS: Mapping[str, Callable[[ModelRecord], SampleWriter]] = MappingProxyType(
    {
        "png": PngWriter,
        "npy": NpyWriter,
        "npz": NpzWriter,
        "tiff": TiffWriter,
        "dicom": DicomWriter,
        "nifti": NiftiWriter,
    }
)


def default_format(record: ModelRecord) -> str:
    """Return png, or npy where that cannot hold what the model gives, such as volumes."""
    try:
        PngWriter(record)
    except ArgumentError:
        return "npy"
    return "png"
