"""From a sample to what training takes: names, tensors, the user's transform."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from medmint.catalogue.records import OutputSpec
from medmint.errors import ArgumentError
from medmint.samples import Array

Item = dict[str, Any]
Transform = Callable[..., Any]

OUTPUTS = ("numpy", "tensor")


@dataclass(frozen=True, kw_only=True)
class ItemMaker:
    """Makes the item of a sample.

    Attributes
    ----------
    output : {"numpy", "tensor"}
        Arrays as the model gives them, or tensors with channels first.
    transform : callable, optional
        Called once with the image, or with image and mask where there is a mask, in the form that
        ``output`` names; it returns as many.
    specs : mapping of str to OutputSpec
        What the model's record says about its outputs.

    Raises
    ------
    ArgumentError
        If ``output`` or ``transform`` is something else.
    """

    output: str = "numpy"
    transform: Transform | None = None
    specs: Mapping[str, OutputSpec] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.output not in OUTPUTS:
            raise ArgumentError("output", self.output, " or ".join(map(repr, OUTPUTS)))
        if self.transform is not None and not callable(self.transform):
            raise ArgumentError("transform", self.transform, "a function of image (and mask)")

    def item(self, row: Mapping[str, Any]) -> Item:
        """Return the item of a sample with arrays ``image``, ``mask`` and others, and ``label``.

        Raises
        ------
        ArgumentError
            If the transform does not keep image and mask together.
        """
        arrays = {name: value for name, value in row.items() if name != "label"}
        if self.output == "tensor":
            arrays = {name: self._tensor(name, array) for name, array in arrays.items()}
        image, mask = arrays.pop("image"), arrays.pop("mask", None)
        if self.transform is not None:
            image, mask = self._transformed(self.transform, image, mask, row)
        item: Item = {"sample": image}
        if mask is not None:
            item["mask"] = mask
        if arrays:
            # One is given as it is, as medigan does; several need their names.
            item["other_imaging_output"] = arrays if len(arrays) > 1 else arrays.popitem()[1]
        if "label" in row:
            item["label"] = row["label"]
        return item

    def _transformed(
        self, transform: Transform, image: Any, mask: Any, row: Mapping[str, Any]
    ) -> tuple[Any, Any]:
        made = transform(image) if mask is None else transform(image, mask)
        if made is None:
            raise ArgumentError("transform", "one that returns None", "one that returns an image")
        if mask is None:
            return made, None
        if not isinstance(made, tuple | list) or len(made) != 2:
            given = f"one that returns {type(made).__name__}"
            raise ArgumentError("transform", given, "one that returns (image, mask)")
        _check_together(made[0], made[1], row)
        return made[0], made[1]

    def _tensor(self, name: str, array: Array) -> torch.Tensor:
        """Put channels first; bring images and yes-or-no masks into [0, 1], keep class numbers."""
        spec = self.specs.get(name)
        low, high = _range(array, spec)
        if name == "mask" and not (low == 0 and high in (1, 255)):
            return torch.from_numpy(array.astype(np.int64))
        sides = spec.spatial_dims if spec and spec.spatial_dims else min(array.ndim, 2)
        channels_first = np.moveaxis(array, -1, 0) if array.ndim > sides else array[None]
        values = np.ascontiguousarray(channels_first, dtype=np.float32)
        return torch.from_numpy((values - np.float32(low)) / np.float32(high - low))


def _range(array: Array, spec: OutputSpec | None) -> tuple[float, float]:
    """Return the values that stand for 0 and 1: the record's range, else that of the type."""
    if spec is not None and spec.value_range is not None:
        return spec.value_range
    if array.dtype.kind == "f":
        return 0.0, 1.0
    limits = np.iinfo(array.dtype)
    return float(limits.min), float(limits.max)


def _check_together(image: Any, mask: Any, row: Mapping[str, Any]) -> None:
    """Refuse a transform that gave image and mask different sides, channels first or last."""
    sides = row["mask"].ndim
    if row["image"].shape[:sides] != row["mask"].shape:
        return
    of_image, of_mask = (tuple(getattr(made, "shape", ())) for made in (image, mask))
    possible = [{shape[:sides], shape[-sides:]} for shape in (of_image, of_mask)]
    if not possible[0] & possible[1]:
        given = f"one that returns an image of shape {of_image} and a mask of shape {of_mask}"
        raise ArgumentError("transform", given, "one that gives both the same sides")
