"""Storing numbers as whole numbers without a sign, for formats that know no others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from medmint.catalogue.records import ModelRecord, OutputSpec
from medmint.errors import ArgumentError
from medmint.samples import Array
from medmint.writers.sample_writer import array_outputs, is_colour, number_of_sides, refusal

Bits = Literal[8, 16]
_BITS: Mapping[str, Bits] = {"uint8": 8, "uint16": 16, "int16": 16}


@dataclass(frozen=True, slots=True)
class Storage:
    """How one output is stored: value = stored * ``scale`` + ``offset``.

    Attributes
    ----------
    bits : {8, 16}
        Size of a stored number.
    offset, scale : float
        What a stored 0 stands for, and the step from one stored number to the next.
    """

    bits: Bits
    offset: float = 0
    scale: float = 1

    @classmethod
    def of(cls, dtype: str, spec: OutputSpec | None, *, colour: bool) -> Storage | None:
        """Return how numbers of a type are stored, None where that cannot be told.

        Signed numbers are shifted by the lowest value of the record's range (or -32768). Real
        numbers of a known range are spread over 16 bits, colours over 8.

        Examples
        --------
        >>> Storage.of("int16", OutputSpec("int16", value_range=(-1024, 3071)), colour=False)
        Storage(bits=16, offset=-1024, scale=1)
        >>> Storage.of("float32", None, colour=False) is None
        True
        """
        limits = None if spec is None else spec.value_range
        if dtype == "int16" and spec is not None:
            return cls(16, -32768 if limits is None else int(limits[0]))
        if dtype in _BITS:
            return cls(_BITS[dtype])
        if not dtype.startswith("float") or limits is None:
            return None
        bits: Bits = 8 if colour else 16
        # As many digits as a number in a DICOM file can have.
        low, step = (_rounded(x) for x in (limits[0], (limits[1] - limits[0]) / (2**bits - 1)))
        return cls(bits, low, step or 1)

    def stored(self, array: Array) -> Array | None:
        """Return the whole numbers that stand for an array, None where one of them would not fit.

        Parameters
        ----------
        array : ndarray
            Values; those of a real range are stored to the nearest step.

        Returns
        -------
        ndarray of uint8 or uint16, same shape, or None
        """
        wanted = np.dtype(f"uint{self.bits}")
        if array.dtype == wanted and (self.offset, self.scale) == (0, 1):
            return array
        if array.dtype.kind == "f":
            steps = np.rint((array.astype(np.float64) - self.offset) / self.scale)
        else:
            steps = array.astype(np.int64) - int(self.offset)
        # Written so that NaN does not fit either.
        fits = bool(((steps >= 0) & (steps <= np.iinfo(wanted).max)).all())
        return steps.astype(wanted) if fits else None


class WholeNumbers:
    """The outputs of one model in a format that holds whole numbers without a sign.

    Parameters
    ----------
    record : ModelRecord
        The model.
    output_format : str
        Name of the format.
    channels : tuple of int
        Numbers of channels that the format can hold; several of them have 8 bits each.
    volumes : bool
        Whether it can hold volumes.

    Raises
    ------
    ArgumentError
        If the record says that an output is nothing that the format can hold.
    """

    def __init__(
        self, record: ModelRecord, output_format: str, *, channels: tuple[int, ...], volumes: bool
    ) -> None:
        self._format = output_format
        self._channels = channels
        self._volumes = volumes
        self.specs = array_outputs(record)
        self.storages: dict[str, Storage] = {}
        for name, spec in self.specs.items():
            self._check_form(name, spec.spatial_dims or 2, spec.channels or 1)
            self.storages[name] = self._storage(name, spec.dtype, spec.channels or 1)

    def header(self) -> dict[str, Any]:
        """Return the offsets and scales of outputs that are not stored as they are."""
        offsets = {name: one.offset for name, one in self.storages.items() if one.offset}
        scales = {name: one.scale for name, one in self.storages.items() if one.scale != 1}
        return {key: facts for key, facts in (("offsets", offsets), ("scales", scales)) if facts}

    def store(self, name: str, array: Array) -> Array:
        """Return the whole numbers of one output.

        Raises
        ------
        ArgumentError
            If it has another form than the format can hold, or a value that does not fit.
        """
        spec = self.specs.get(name)
        channels = array.shape[-1] if is_colour(array, spec) else 1
        self._check_form(name, number_of_sides(array, spec), channels)
        storage = self.storages.get(name) or self._storage(name, array.dtype.name, channels)
        stored = storage.stored(array) if array.dtype.kind in "uif" else None
        if stored is None:
            reason = f"has values from {array.min()} to {array.max()}"
            raise self._refusal(
                name,
                f"{reason}, which {storage.bits} bits from "
                f"{storage.offset:g} on in steps of {storage.scale:g} cannot hold",
            )
        return stored

    def storage(self, name: str, array: Array) -> Storage:
        """Return how an output is stored."""
        return self.storages.get(name) or self._storage(name, array.dtype.name, 1)

    def _storage(self, name: str, dtype: str, channels: int) -> Storage:
        storage = Storage.of(dtype, self.specs.get(name), colour=channels > 1)
        if storage is None:
            reason = f"is of type {dtype} and the model's record gives no value_range for it"
            raise self._refusal(name, reason)
        if channels > 1 and storage.bits > 8:
            raise self._refusal(name, f"has {channels} channels of {storage.bits} bits")
        return storage

    def _check_form(self, name: str, sides: int, channels: int) -> None:
        if sides not in ((2, 3) if self._volumes else (2,)):
            raise self._refusal(name, "is a volume" if sides == 3 else f"has {sides} sides")
        if channels not in self._channels:
            raise self._refusal(name, f"has {channels} channels")

    def _refusal(self, name: str, reason: str) -> ArgumentError:
        return refusal(self._format, "npy", name, reason)


def _rounded(value: float) -> float:
    return float(f"{value:.10g}")
