"""The two package contracts as medmint sees them: what is asked, and what an answer must be."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from medmint.catalogue.records import ModelRecord, OutputSpec
from medmint.errors import ArgumentError, ContractError
from medmint.packages.package import Package
from medmint.packages.workers.worker import Frame
from medmint.samples import Array, Batch

#: How far a float image may leave [0, 1] before it is a fault and not rounding.
_ROUNDING = 1e-3
#: Words of a manifest line, which an output may not be called by.
_RESERVED = frozenset({"index", "label", "table", "batch_size", "from_index", "images", "masks"})
_TYPES = {"uint8": np.uint8, "uint16": np.uint16, "int16": np.int16, "float32": np.float32}


def load_job(record: ModelRecord, package: Package, device: str) -> dict[str, Any]:
    """Describe to a worker what it is to load."""
    execution = record.execution
    needed = " ".join(execution.dependencies).lower()
    return {
        "contract": execution.contract,
        "root": str(package.root),
        "alias": f"medmint_model_{record.model_id.replace('-', '_')}",
        "weights": None if package.weights is None else str(package.weights),
        "function": execution.generate_method.name,
        "device": device,
        "uses_torch": "torch" in needed,
        "inline": False,
    }


def read_batch(record: ModelRecord, frame: Frame, start: int, count: int) -> Batch:
    """Check the answer to a request for ``count`` samples and bring it into the kept form.

    Raises
    ------
    ContractError
        If samples are missing, are not finite, or have another type or shape than agreed.
    """
    labels = frame.message["values"].get("label")
    arrays = dict(frame.arrays)
    if "label" in arrays:
        labels = arrays.pop("label").reshape(-1).tolist()
    _check_names(record, arrays)
    lengths = {name: len(array) if array.ndim else 0 for name, array in arrays.items()}
    lengths |= {} if labels is None else {"label": len(labels)}
    if record.execution.contract == "sampler":
        promised = [name for name in record.execution.output if name != "label"]
        if missing := [name for name in promised if name not in arrays]:
            found = ", ".join(arrays) or "nothing"
            raise ContractError(record.model_id, f"the output {missing[0]}", f"{found} alone")
    else:
        # Published models may give more than asked, to keep classes balanced.
        arrays = {name: array[:count] for name, array in arrays.items()}
        labels = None if labels is None else labels[:count]
        lengths = {name: min(length, count) for name, length in lengths.items()}
    if wrong := {name: length for name, length in lengths.items() if length != count}:
        raise ContractError(record.model_id, f"{count} samples", f"{wrong}")
    table = {name[6:]: arrays.pop(name) for name in list(arrays) if name.startswith("table.")}
    if wide := {name: column.shape for name, column in table.items() if column.ndim != 1}:
        raise ContractError(record.model_id, "one number a sample in each table column", f"{wide}")
    if record.execution.contract == "generate":
        arrays = _with_mask_apart(arrays)
    kept = {name: _keep(record, name, array) for name, array in arrays.items()}
    return Batch(start, kept, labels, table)


def _with_mask_apart(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Take the mask out of four-channel images: published models put it behind the colours."""
    image = arrays["image"]
    if "mask" in arrays or image.ndim != 4 or image.shape[-1] != 4:
        return dict(arrays)
    return {"image": image[..., :3], "mask": image[..., 3], **dict(list(arrays.items())[1:])}


def _check_names(record: ModelRecord, arrays: Mapping[str, Array]) -> None:
    for name in arrays:
        is_name = name.removeprefix("table.").isidentifier() and not name.endswith("_sha256")
        if not is_name or name in _RESERVED:
            taken = ", ".join(sorted(_RESERVED))
            expected = f"outputs with names of letters and digits, and none of {taken}, *_sha256"
            raise ContractError(record.model_id, expected, repr(name))


def _keep(record: ModelRecord, name: str, array: Array) -> Array:
    """Bring an output into the form of a batch: channels last, in the type of the record."""
    spec = record.execution.output.get(name)
    if record.execution.contract == "sampler" and array.ndim > 3:
        array = np.moveaxis(array, 1, -1)
    if array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    _check_shape(record, name, array, spec)
    if array.dtype.kind == "f":
        return _quantise(record, name, array, spec)
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if spec is not None and array.dtype.name != spec.dtype:
        raise ContractError(record.model_id, f"{name} of type {spec.dtype}", f"type {array.dtype}")
    if spec is not None and spec.value_range is not None and array.size:
        (low, high), least, most = spec.value_range, array.min(), array.max()
        if least < low or most > high:
            expected = f"{name} from {low:g} to {high:g}"
            raise ContractError(record.model_id, expected, f"values from {least} to {most}")
    return array


def _check_shape(record: ModelRecord, name: str, array: Array, spec: OutputSpec | None) -> None:
    """Compare with the record what the sampler contract promises; images have sides in any case."""
    if name == "image" and array.ndim < 3:
        raise ContractError(record.model_id, "images with two sides or more", f"{array.shape[1:]}")
    if array.size == 0:
        raise ContractError(record.model_id, f"{name} with something in it", f"{array.shape[1:]}")
    if record.execution.contract != "sampler" or spec is None or spec.spatial_dims is None:
        return
    channels = spec.channels or 1
    sides = array.ndim - 1 - (channels > 1)
    if sides != spec.spatial_dims or (channels > 1 and array.shape[-1] != channels):
        expected = f"{name} with {spec.spatial_dims} sides and {channels} channels"
        raise ContractError(record.model_id, expected, f"shape {array.shape[1:]}")


def _quantise(record: ModelRecord, name: str, array: Array, spec: OutputSpec | None) -> Array:
    """Bring floats into the type of the record: samplers give [0, 1], others the values."""
    if not np.isfinite(array).all():
        raise ContractError(record.model_id, f"finite values in {name}", "NaN or infinity")
    dtype = np.dtype(_TYPES[spec.dtype if spec else "uint8"])
    if dtype.kind == "f":
        return array.astype(dtype)
    low, high = (spec.value_range if spec and spec.value_range else None) or _limits(dtype)
    if record.execution.contract == "sampler":
        least, most = float(array.min(initial=0)), float(array.max(initial=1))
        if least < -_ROUNDING or most > 1 + _ROUNDING:
            raise ContractError(record.model_id, f"{name} in [0, 1]", f"[{least:.3g}, {most:.3g}]")
        array = array * np.float32(high - low) + np.float32(low)
    return np.clip(np.rint(array), low, high).astype(dtype)


def _limits(dtype: np.dtype[Any]) -> tuple[float, float]:
    info = np.iinfo(dtype)
    return info.min, info.max


def checked_options(record: ModelRecord, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record's own options with those that the user gave, as plain JSON values.

    Raises
    ------
    ArgumentError
        If the model has no such option (the known ones are named), or JSON cannot hold its value.
    """
    options = record.execution.generate_method.custom.thawed()
    for name, value in given.items():
        if name not in options:
            known = f"an option of {record.model_id}: {', '.join(options)}"
            nothing = f"nothing of that name: {record.model_id} has no options of its own"
            raise ArgumentError(name, value, known if options else nothing)
    return options | {name: _plain(name, value) for name, value in given.items()}


def _plain(name: str, value: Any) -> Any:
    try:
        return json.loads(json.dumps(value, allow_nan=False, default=_from_other_libraries))
    except (TypeError, ValueError, RecursionError) as error:
        allowed = "text, finite numbers, True, False, None, or lists and dicts of them"
        raise ArgumentError(name, value, allowed) from error


def _from_other_libraries(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else os.fspath(value)
