"""What a file format has to do: turn the arrays of one sample into the bytes of files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from medmint.catalogue.records import ModelRecord, OutputSpec
from medmint.errors import ArgumentError
from medmint.samples import Array

COLOUR_CHANNELS = (3, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One sample on its way to files.

    Attributes
    ----------
    index : int
        Its number in the run.
    arrays : mapping of str to ndarray
        ``image`` (H, W), (H, W, C), (H, W, D) or (H, W, D, C); ``mask`` without channels; other
        outputs under their own names.
    label : int or str, or None
        Its class where the model gives one.
    run : mapping
        The header of the manifest: all that the sample depends on.
    """

    index: int
    arrays: Mapping[str, Array]
    label: int | str | None
    run: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class EncodedFile:
    """The bytes of one file, and the outputs of a sample that it holds."""

    outputs: tuple[str, ...]
    suffix: str
    content: bytes


class SampleWriter(Protocol):
    """A file format for one model.

    It is made from the model's record, before anything is started: what the record says can never
    be written is refused then.
    """

    def header(self) -> Mapping[str, Any]:
        """Return what the manifest has to say about how values are stored."""

    def encode(self, sample: Sample) -> Iterator[EncodedFile]:
        """Yield the files of one sample; equal samples make equal bytes.

        Raises
        ------
        ArgumentError
            If the format cannot hold an array.
        """


def array_outputs(record: ModelRecord) -> dict[str, OutputSpec]:
    """Return the outputs of a record that become arrays in files; labels and numbers do not."""
    specs = record.execution.output.items()
    return {name: s for name, s in specs if name != "label" and s.spatial_dims not in (0, 1)}


def is_colour(array: Array, spec: OutputSpec | None) -> bool:
    """Tell whether the last axis of an array holds colours.

    Where the record does not say, three or four bytes side by side are taken for a colour.

    Examples
    --------
    >>> import numpy as np
    >>> is_colour(np.zeros((8, 8, 3), np.uint8), None), is_colour(np.zeros((8, 8, 9)), None)
    (True, False)
    >>> is_colour(np.zeros((8, 8, 3), np.uint8), OutputSpec("uint8", spatial_dims=3))
    False
    """
    if spec is not None and spec.spatial_dims is not None:
        return array.ndim > spec.spatial_dims
    if spec is not None and spec.channels is not None:
        return array.ndim > 2 and array.shape[-1] == spec.channels > 1
    return array.ndim > 3 or (
        array.ndim == 3 and array.dtype == np.uint8 and array.shape[-1] in COLOUR_CHANNELS
    )


def number_of_sides(array: Array, spec: OutputSpec | None) -> int:
    """Return 2 for a picture, 3 for a volume, another number for what is neither."""
    return array.ndim - is_colour(array, spec)


def refusal(output_format: str, instead: str, name: str, reason: str) -> ArgumentError:
    """Return the error that says why a format cannot hold an output, and which one can.

    Examples
    --------
    >>> print(refusal("png", "npy", "image", "is a volume"))
    output_format: got 'png', expected npy: image is a volume.
    """
    return ArgumentError("output_format", output_format, f"{instead}: {name} {reason}")
