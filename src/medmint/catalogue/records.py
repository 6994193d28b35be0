"""Model records: what the catalogue says about a model, as frozen objects.

A record is made from JSON with :meth:`ModelRecord.from_dict` and goes back without loss with
:meth:`ModelRecord.to_dict`. The shape of a record is defined in ``config/schema.json`` alone.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

from medmint.catalogue.checks import read_catalogue, record_faults, schema, validate_catalogue
from medmint.errors import InvalidRecordError

__all__ = [
    "Execution",
    "GenerateMethod",
    "ModelRecord",
    "OutputSpec",
    "ReadOnly",
    "read_catalogue",
    "record_faults",
    "validate_catalogue",
]

Contract = Literal["generate", "sampler"]
Dtype = Literal["uint8", "uint16", "int16", "float32"]


class ReadOnly(Mapping[str, Any]):
    """A mapping that cannot be changed; unlike ``MappingProxyType`` it can be pickled.

    Examples
    --------
    >>> frozen = ReadOnly({"organ": ["breast"]})
    >>> frozen["organ"]
    ('breast',)
    >>> frozen.thawed()
    {'organ': ['breast']}
    """

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, Any]) -> None:
        self._items = {key: _freeze(value) for key, value in items.items()}

    def __getitem__(self, key: str) -> Any:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        return f"ReadOnly({self._items!r})"

    def thawed(self) -> dict[str, Any]:
        """Return a copy in plain dicts and lists, as JSON has them."""
        return {key: _thaw(value) for key, value in self._items.items()}


_NOTHING = ReadOnly({})


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """One kind of output of a model.

    Attributes
    ----------
    dtype : str
        How values are stored: uint8, uint16, int16 or float32.
    channels, spatial_dims : int or None
        Number of channels, and of spatial dimensions.
    value_range : tuple of two float or None
        Lowest and highest value, in ``unit``.
    unit : str or None
        Unit of the values, such as ``HU``.
    window : tuple of two float or None
        Lowest and highest value that a picture on a screen should show, in ``unit``.
    spacing_mm : tuple of float or None
        Distance of neighbouring pixels along each axis, in millimetres.
    orientation : str or None
        Where each axis leads in the patient: a letter of R, L, A, P, S, I for each.
    burned_in_text : bool or None
        Whether images can show text that identifies a patient or a date.
    values : mapping of str to str
        Meaning of each value of a mask or label map.
    """

    dtype: Dtype
    channels: int | None = None
    spatial_dims: int | None = None
    value_range: tuple[float, float] | None = None
    unit: str | None = None
    window: tuple[float, float] | None = None
    spacing_mm: tuple[float, ...] | None = None
    orientation: str | None = None
    burned_in_text: bool | None = None
    values: Mapping[str, str] = _NOTHING

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> OutputSpec:
        """Read one entry of ``execution.output``."""
        known = _known("output_spec")
        return cls(**{key: _freeze(value) for key, value in data.items() if key in known})


@dataclass(frozen=True, slots=True)
class GenerateMethod:
    """How a package is called.

    Attributes
    ----------
    name : str
        Function of the package that generates.
    base : tuple of str
        Arguments that medmint fills in.
    custom : mapping
        The model's own options and their defaults.
    input_latent_vector_size : int or None
        Length of the latent vector, where the model has one.
    """

    name: str = "generate"
    base: tuple[str, ...] = ()
    custom: ReadOnly = _NOTHING
    input_latent_vector_size: int | None = None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> GenerateMethod:
        """Read ``execution.generate_method``."""
        args = data.get("args", {})
        return cls(
            name=data.get("name", "generate"),
            base=tuple(args.get("base", ())),
            custom=ReadOnly(args.get("custom", {})),
            input_latent_vector_size=data.get("input_latent_vector_size"),
        )


@dataclass(frozen=True, slots=True)
class Execution:
    """What is needed to fetch and run a model; ``config/schema.json`` explains each field."""

    package_name: str
    package_link: str
    model_name: str
    extension: str
    image_size: tuple[int, ...]
    dependencies: tuple[str, ...]
    generate_method: GenerateMethod
    contract: Contract = "generate"
    sha256: str | None = None
    size_bytes: int | None = None
    python: str | None = None
    requires_pickle: bool | None = None
    conditions: tuple[str, ...] = ()
    output: Mapping[str, OutputSpec] = _NOTHING

    @property
    def weights_name(self) -> str:
        """File name of the weights inside the package, empty if the model has none."""
        return self.model_name + self.extension

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Execution:
        """Read the ``execution`` part of a record."""
        fields = {key: _freeze(value) for key, value in data.items() if key in _known("execution")}
        fields["image_size"] = tuple(int(side) for side in data["image_size"])
        fields["generate_method"] = GenerateMethod.from_dict(data["generate_method"])
        specs = data.get("output", {}).items()
        fields["output"] = ReadOnly({key: OutputSpec.from_dict(spec) for key, spec in specs})
        return cls(**fields)


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """All that the catalogue says about one model.

    Attributes
    ----------
    model_id : str
        Five digits, an underscore and a name.
    execution : Execution
        What is needed to fetch and run the model.
    selection, description : mapping
        What a search looks through, and what a person reads; lists in them are tuples.
    schema_version : str or None
        Version of the schema that the record was written for.
    """

    model_id: str
    execution: Execution
    selection: ReadOnly
    description: ReadOnly
    schema_version: str | None
    _text: str = field(repr=False)

    @classmethod
    def from_dict(cls, model_id: str, data: Mapping[str, Any]) -> ModelRecord:
        """Make a record from the JSON object that stands under a model id.

        Keys that medmint does not know are kept and reported in one warning.

        Parameters
        ----------
        model_id : str
            The full id.
        data : mapping
            ``{"execution": ..., "selection": ..., "description": ...}``; it is copied.

        Returns
        -------
        ModelRecord

        Raises
        ------
        InvalidRecordError
            If the data break the schema; all faults are listed with their paths.
        """
        try:
            # The text form is both a deep copy and the proof that the record is plain JSON.
            text = json.dumps(data, allow_nan=False)
            record = cls(
                model_id=model_id,
                execution=Execution.from_dict(data["execution"]),
                selection=ReadOnly(data["selection"]),
                description=ReadOnly(data["description"]),
                schema_version=data.get("schema_version"),
                _text=text,
            )
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            faults = record_faults(model_id, data) or [f"/{model_id}: {error}"]
            raise InvalidRecordError(f"Record {model_id}", faults) from error
        if unknown := unknown_keys(data):
            keys = ", ".join(unknown)
            warnings.warn(
                f"Record {model_id} has keys that medmint does not know, and keeps: {keys}",
                stacklevel=2,
            )
        return record

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object the record was made from, with its key order and unknown keys."""
        loaded: dict[str, Any] = json.loads(self._text)
        return loaded

    @property
    def number(self) -> int:
        """The number that the id starts with."""
        return int(self.model_id[:5])

    @property
    def title(self) -> str:
        """The title, or the id where the record has none."""
        return self.description.get("title") or self.model_id


def unknown_keys(data: Mapping[str, Any]) -> list[str]:
    """List the dotted paths of keys that the schema does not name.

    Examples
    --------
    >>> unknown_keys({"execution": {"colour": 1}, "selection": {}, "description": {}})
    ['execution.colour']
    """
    execution = data["execution"]
    method = execution.get("generate_method", {})
    parts = [
        ("", data, "record"),
        ("execution.", execution, "execution"),
        ("execution.generate_method.", method, "generate_method"),
        ("selection.", data["selection"], "selection"),
        ("description.", data["description"], "description"),
    ]
    for key, spec in execution.get("output", {}).items():
        parts.append((f"execution.output.{key}.", spec, "output_spec"))
    return [f"{path}{key}" for path, part, name in parts for key in part if key not in _known(name)]


@lru_cache(maxsize=16)
def _known(definition: str) -> frozenset[str]:
    return frozenset(schema()["$defs"][definition]["properties"])


def _freeze(value: Any) -> Any:
    if isinstance(value, Mapping):
        return value if isinstance(value, ReadOnly) else ReadOnly(value)
    if isinstance(value, list | tuple):
        return tuple(_freeze(item) for item in value)
    return value


def _thaw(value: Any) -> Any:
    if isinstance(value, ReadOnly):
        return value.thawed()
    return [_thaw(item) for item in value] if isinstance(value, tuple) else value
