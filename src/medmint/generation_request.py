"""What ``generate`` was asked for, checked before anything is started."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medmint.catalogue.records import ModelRecord
from medmint.errors import ArgumentError
from medmint.home import user_path
from medmint.samples import LARGEST_SEED

DEFAULT_NUM_SAMPLES = 30
OUTPUT_FORMATS = ("png", "npy", "npz", "tiff", "dicom", "nifti")
ISOLATIONS = ("worker", "none")
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    """The arguments of ``generate``, as they were given.

    Raises
    ------
    ArgumentError
        If one of them is not what it has to be, whatever the model.
    """

    num_samples: int = DEFAULT_NUM_SAMPLES
    output_path: str | os.PathLike[str] | None = None
    save_images: bool = True
    install_dependencies: bool = False
    seed: int | None = None
    device: str = "auto"
    batch_size: int | None = None
    output_format: str | None = None
    condition: Any = None
    latents: Any = None
    weights: str | os.PathLike[str] | None = None
    package: str | os.PathLike[str] | None = None
    isolation: str = "worker"
    allow_pickle: bool = False
    overwrite: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, **arguments: Any) -> GenerationRequest:
        """Make a request; what is no argument of ours is taken for an option of the model."""
        return cls().changed(**arguments)

    def changed(self, **arguments: Any) -> GenerationRequest:
        """Return a copy with some arguments and options of the model changed."""
        ours = {one.name for one in fields(self)}
        own = {name: value for name, value in arguments.items() if name not in ours}
        named = {name: value for name, value in arguments.items() if name in ours}
        return replace(self, **named, options={**self.options, **own})

    def __post_init__(self) -> None:
        for name, kind in (("output_path", "folder"), ("package", "folder"), ("weights", "file")):
            if getattr(self, name) is not None:
                user_path(name, getattr(self, name), f"a {kind}")
        _check_whole("num_samples", self.num_samples, least=1)
        if self.batch_size is not None:
            _check_whole("batch_size", self.batch_size, least=1)
        if self.seed is not None:
            _check_whole("seed", self.seed, least=0, most=LARGEST_SEED)
        if not isinstance(self.device, str) or not _DEVICE.fullmatch(self.device):
            raise ArgumentError("device", self.device, "'auto', 'cpu', 'cuda', 'cuda:0' or 'mps'")
        if self.output_format is not None:
            _check_choice("output_format", self.output_format, OUTPUT_FORMATS)
        _check_choice("isolation", self.isolation, ISOLATIONS)


def read_latents(given: Any, record: ModelRecord) -> NDArray[np.float32] | None:
    """Read latent vectors from an array or from a JSON or NPY file.

    Parameters
    ----------
    given : array_like of shape (n, size) or (size,), or path, or None
        A JSON file holds such numbers as lists, or an object with them under ``"latents"`` and,
        where it is known, the model that they are for under ``"model_id"``.
    record : ModelRecord
        Says how long a latent vector is.

    Returns
    -------
    ndarray of float32, shape (n, size), or None
    """
    if given is None:
        return None
    size = record.execution.generate_method.input_latent_vector_size
    if size is None:
        raise ArgumentError("latents", type(given).__name__, f"None: {record.model_id} takes none")
    expected = f"finite numbers of shape (n, {size}), or a .json or .npy file of them"
    content = (
        _read_numbers(Path(given), expected, record)
        if isinstance(given, str | os.PathLike)
        else given
    )
    try:
        with np.errstate(over="ignore"):
            latents = np.atleast_2d(np.asarray(content, dtype=np.float32))
    except (TypeError, ValueError) as error:
        raise ArgumentError("latents", type(content).__name__, expected) from error
    if latents.ndim != 2 or latents.shape[1] != size or not len(latents):
        raise ArgumentError("latents", latents.shape, expected)
    if not np.isfinite(latents).all():
        raise ArgumentError("latents", "values that are not finite", expected)
    return latents


def read_condition(given: Any, record: ModelRecord, count: int) -> NDArray[np.int64] | None:
    """Read the wanted classes: one name or number for all samples, or one for each.

    Returns
    -------
    ndarray of int64, shape (count,), or None
        None where nothing was asked for: classes are then drawn with the samples.
    """
    if given is None:
        return None
    names = list(record.execution.conditions or [])
    if not names:
        raise ArgumentError("condition", given, f"None: {record.model_id} has no conditions")
    each = (
        list(given)
        if isinstance(given, Sequence | np.ndarray) and not isinstance(given, str)
        else [given]
    )
    if len(each) not in (1, count):
        raise ArgumentError(
            "condition", f"{len(each)} classes", f"one class, or {count}: one a sample"
        )
    numbers = [_class_number(one, names) for one in each]
    return np.array(numbers if len(numbers) == count else numbers * count, dtype=np.int64)


def _class_number(given: Any, names: list[str]) -> int:
    if isinstance(given, str) and given in names:
        return names.index(given)
    if (
        isinstance(given, int | np.integer)
        and not isinstance(given, bool)
        and 0 <= given < len(names)
    ):
        return int(given)
    numbered = ", ".join(f"{name!r} ({number})" for number, name in enumerate(names))
    raise ArgumentError("condition", given, f"one of {numbered}")


def _read_numbers(path: Path, expected: str, record: ModelRecord) -> Any:
    try:
        if path.suffix == ".npy":
            return np.load(path, allow_pickle=False)
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, EOFError, RecursionError) as error:
        raise ArgumentError("latents", str(path), f"{expected} ({error})") from error
    if not isinstance(content, dict):
        return content
    if (model_id := content.get("model_id", record.model_id)) != record.model_id:
        raise ArgumentError(
            "latents", f"{path}, latents of {model_id}", f"a file saved for {record.model_id}"
        )
    return content.get("latents")


def _check_whole(name: str, value: Any, *, least: int, most: int | None = None) -> None:
    is_whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not is_whole or value < least or (most is not None and value > most):
        limits = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ArgumentError(name, value, f"a whole number {limits}")


def _check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if not isinstance(value, str) or value not in choices:
        raise ArgumentError(name, value, " or ".join(map(repr, choices)))
