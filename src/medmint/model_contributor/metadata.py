"""The record of a new model: from what its makers say, and from what the package itself shows."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medmint.catalogue.checks import read_catalogue
from medmint.errors import ArgumentError, ContractError
from medmint.model_contributor.licences import licence, licence_of
from medmint.model_contributor.package_code import BASE_ARGUMENTS, PackageCode
from medmint.model_contributor.weights import weights_here
from medmint.packages.package import METADATA_NAME

_LATENT_NAMES = ("LATENT_SIZE", "LATENT_DIM", "Z_DIM", "NZ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a contributor says of a model, over what its package shows.

    Attributes
    ----------
    metadata_file_path : Path or None
        A file with one record under its id, or a folder with such a ``metadata.json``.
    model_weights_name, model_weights_extension : str or None
        File name of the weights, its extension apart; both empty for a model without weights.
    generate_method_name : str or None
        Function of ``__init__.py`` that generates.
    dependencies : sequence of str or None
        Requirements as pip takes them.
    fields : mapping of str to value
        Further parts of the record by dotted path, such as ``"selection.license"``.
    """

    metadata_file_path: Path | None = None
    model_weights_name: str | None = None
    model_weights_extension: str | None = None
    generate_method_name: str | None = None
    dependencies: Sequence[str] | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.dependencies, str) or not isinstance(self.dependencies, Iterable | None):
            expected = "a list of requirements such as ['numpy>=1.26']"
            raise ArgumentError("dependencies", self.dependencies, expected)
        if not isinstance(self.fields, Mapping):
            raise ArgumentError("fields", self.fields, "a mapping of dotted paths to values")


def read_metadata(model_id: str | None, path: Path) -> tuple[str, dict[str, Any]]:
    """Read the one record of a file, or of ``metadata.json`` in a folder, with its id.

    Raises
    ------
    InvalidRecordError
        If it cannot be read.
    ArgumentError
        If it is of another model.
    """
    file = path / METADATA_NAME if path.is_dir() else path
    entries = read_catalogue(file)
    if len(entries) != 1:
        raise ArgumentError("metadata_file_path", str(file), f"one record, not {len(entries)}")
    found, record = next(iter(entries.items()))
    if model_id not in {None, found}:
        raise ArgumentError("model_id", model_id, f"{found}, as {file} says, or change it there")
    return found, record


def build_record(model_id: str, code: PackageCode, given: Given) -> dict[str, Any]:
    """Put a record together; what nobody said and nothing shows stays open.

    Parameters
    ----------
    model_id : str
    code : PackageCode
    given : Given

    Returns
    -------
    dict
        ``execution``, ``selection`` and ``description``. The package link is the folder itself.
        Where ``execution.image_size`` is missing, samples of the model have to show it.
    """
    folder = code.folder
    own = folder / METADATA_NAME
    source = given.metadata_file_path or (own if own.is_file() else None)
    record = copy.deepcopy(read_metadata(model_id, source)[1]) if source else _empty(model_id)
    execution = record["execution"]
    _take_arguments(execution, given)
    for path, value in given.fields.items():
        set_field(record, path, value)
    execution.setdefault("package_name", folder.name)
    execution["package_link"] = str(folder)
    if "model_name" not in execution:
        execution["model_name"], execution["extension"] = weights_here(folder)
    if "dependencies" not in execution:
        execution["dependencies"] = _stated_requirements(folder)
    _describe_call(execution, code, given)
    if not licence(record) and (found := licence_of(folder)):
        record["selection"]["license"] = found
    return record


def set_field(record: dict[str, Any], path: str, value: Any) -> None:
    """Set a part of a record by its dotted path.

    Raises
    ------
    ArgumentError
        If the path leads through something that has no parts.

    Examples
    --------
    >>> record = {"selection": {}}
    >>> set_field(record, "selection.license", "MIT")
    >>> record
    {'selection': {'license': 'MIT'}}
    """
    *parents, name = path.split(".") if isinstance(path, str) else [""]
    place: Any = record
    for parent in parents:
        place = place.setdefault(parent, {}) if isinstance(place, dict) else None
    if (
        not all([parents, name, *parents])
        or not isinstance(place, dict)
        or parents[0] not in _empty("")
    ):
        raise ArgumentError("fields", path, "a dotted path such as 'selection.license'")
    place[name] = value


def get_field(record: Mapping[str, Any], path: str) -> Any:
    """Return a part of a record by its dotted path, None where there is none."""
    place: Any = record
    for name in path.split("."):
        place = place.get(name) if isinstance(place, Mapping) else None
    return place


def _empty(model_id: str) -> dict[str, Any]:
    title = model_id[6:].replace("_", " ")
    return {
        "schema_version": "1",
        "execution": {},
        "selection": {"performance": {}},
        "description": {"title": title},
    }


def _take_arguments(execution: dict[str, Any], given: Given) -> None:
    """Let what was said count more than what a file says."""
    if given.model_weights_name is not None:
        execution["model_name"] = given.model_weights_name
        execution["extension"] = given.model_weights_extension or ""
    elif given.model_weights_extension is not None:
        execution["extension"] = given.model_weights_extension
    if given.dependencies is not None:
        execution["dependencies"] = list(given.dependencies)


def _describe_call(execution: dict[str, Any], code: PackageCode, given: Given) -> None:
    """Say how the package is called; what is of a wrong type is left for the check to name."""
    method = execution.setdefault("generate_method", {})
    if not isinstance(method, dict):
        return
    if given.generate_method_name is not None:
        method["name"] = given.generate_method_name
    name = method.get("name")
    if "contract" not in execution and (name is None or isinstance(name, str)):
        execution["contract"] = code.contract(name)
    is_sampler = execution.get("contract") == "sampler"
    method.setdefault("name", "load" if is_sampler else "generate")
    arguments = method.setdefault("args", {})
    if not isinstance(arguments, dict) or not isinstance(method["name"], str):
        return
    arguments.setdefault("base", [] if is_sampler else list(BASE_ARGUMENTS))
    if "custom" not in arguments:
        arguments["custom"] = {} if is_sampler else code.options(method["name"])
    if "input_latent_vector_size" not in method:
        sizes = [code.constant(name) for name in _LATENT_NAMES]
        size = next((size for size in sizes if size), None)
        if size or not is_sampler:
            method["input_latent_vector_size"] = size


def _stated_requirements(folder: Path) -> list[str]:
    """Read ``requirements.txt``, without comments and options of pip."""
    file = folder / "requirements.txt"
    if not file.is_file():
        return []
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ContractError(folder.name, "requirements.txt in UTF-8", str(error)) from error
    lines = (line.partition(" #")[0].strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith(("#", "-"))]
